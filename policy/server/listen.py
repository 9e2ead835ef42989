"""Where the server listens, and who may speak to it: unix socket, or TCP with TLS and a bearer
token.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry, start_http_server

from policy.errors import PolicyError
from policy.server.config import ServerConfig

_REFUSED_UNREAD = 4  # times limits.message_bytes
UNIX_PATH_BYTES = 107  # sockaddr_un, less the final zero


def options(config: ServerConfig) -> list[tuple[str, int]]:
    """gRPC options: limits, and pings that find agents which vanished."""
    hello_timeout_ms = max(1, round(1000 * config.limits.hello_timeout_s))
    return [
        # Each connection holds a descriptor: one that says nothing must not hold it for long.
        ("grpc.server_handshake_timeout_ms", hello_timeout_ms),
        ("grpc.max_connection_idle_ms", hello_timeout_ms),
        # The service refuses and counts what is beyond the limit; gRPC refuses what would take too
        # much memory to read.
        ("grpc.max_receive_message_length", _REFUSED_UNREAD * config.limits.message_bytes),
        ("grpc.max_send_message_length", config.limits.message_bytes),
        ("grpc.max_concurrent_streams", config.limits.streams + 8),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.so_reuseport", 0),
    ]


def token(config: ServerConfig) -> str | None:
    """The bearer token, None where none is needed. Raises PolicyError."""
    if config.token_file is None:
        return None
    text = _read(config.token_file).decode("ascii", "replace").strip()
    if len(text) < 16:
        raise PolicyError(
            f"{config.token_file}: a token needs at least 16 characters; make one: openssl rand "
            "-hex 32"
        )
    return text


@contextmanager
def bound(server: grpc.aio.Server, config: ServerConfig) -> Iterator[str]:
    """Bind the server; gives the address as agents write it. Removes the unix socket at the end.
    Raises PolicyError.
    """
    if config.is_unix:
        path = Path(config.listen.removeprefix("unix:"))
        _claim(path)
        try:
            _bind(lambda: server.add_insecure_port(f"unix:{path}"), config.listen)
            path.chmod(0o600)
            yield f"unix:{path}"
        finally:
            path.unlink(missing_ok=True)
        return
    assert config.tls_cert is not None
    assert config.tls_key is not None
    pair = (_read(config.tls_key), _read(config.tls_cert))
    try:
        credentials = grpc.ssl_server_credentials([pair])
        port = _bind(lambda: server.add_secure_port(config.listen, credentials), config.listen)
    except ValueError as error:
        raise PolicyError(
            f"tls_cert {config.tls_cert}, tls_key {config.tls_key}: {error}"
        ) from None
    yield f"{config.listen.rpartition(':')[0]}:{port}"


def _claim(path: Path) -> None:
    """Make way for a socket at `path`: a dead server's is removed, a live one's and other files are
    not.
    """
    if len(str(path).encode()) > UNIX_PATH_BYTES:
        raise PolicyError(
            f"unix:{path}: longer than {UNIX_PATH_BYTES} bytes; choose a shorter path"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise PolicyError(f"unix:{path}: there is no folder {path.parent}") from None
        return
    if not stat.S_ISSOCK(mode):
        raise PolicyError(
            f"unix:{path}: a file of this name is there already; remove it or choose another path"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise PolicyError(f"unix:{path}: another server listens there; stop it or choose another path")


def _bind(bind: Callable[[], int], address: str) -> int:
    try:
        port = bind()
    except RuntimeError as error:
        raise PolicyError(f"cannot listen on {address}: {error}") from None
    if port == 0:
        raise PolicyError(f"cannot listen on {address}")
    return port


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from None


@contextmanager
def exporter(config: ServerConfig, registry: CollectorRegistry) -> Iterator[str | None]:
    """Serve metrics on 127.0.0.1 if wanted; gives their address. Raises PolicyError."""
    if config.metrics is None:
        yield None
        return
    try:
        server, thread = start_http_server(config.metrics, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise PolicyError(
            f"metrics: cannot listen on port {config.metrics}: {error.strerror}"
        ) from None
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
