"""Why no connection to the policy server can be had: gRPC itself says no more than that there is
none.
"""

import socket
import ssl
from pathlib import Path


def why(server: str, tls_ca: Path | None, timeout_s: float) -> str:
    """What a plain connection to `server` (`unix:/path` or `host:port`) meets; "it does not answer"
    if nothing.
    """
    try:
        if server.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(timeout_s)
                plain.connect(server.removeprefix("unix:"))
        else:
            host, _, port = server.rpartition(":")
            host = host.strip("[]")
            with socket.create_connection((host, int(port)), timeout_s) as plain:
                if tls_ca is not None:
                    ssl.create_default_context(cafile=tls_ca).wrap_socket(
                        plain, server_hostname=host
                    ).close()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate does not satisfy tls_ca ({tls_ca}): {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS failed: {error.reason or error}"
    except TimeoutError:
        pass
    except OSError as error:
        return error.strerror or str(error)
    return "it does not answer"
