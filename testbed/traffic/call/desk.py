"""The page's server on its host's loopback: gives it the page, carries offer and answer, takes what
it sees. The receiver's desk also answers the sender's over the network.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MAX_BODY_BYTES = 1 << 20
_CALL_SET_UP_S = 20.0


class Description(BaseModel):
    """An offer or an answer (RFC 8829), as the browsers exchange it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(pattern="^(offer|answer)$")
    sdp: str = Field(max_length=100_000)


Number = float | int | str | None


class Report(BaseModel):
    """What a page has seen since its last report; times in ms of Unix time.

    encoded: RTP timestamp, time, bytes and whether it is a key frame, of each frame that left the
    encoder or was complete at the receiver; shown: RTP timestamp and time of each decoded frame.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoded: list[tuple[int, float, int, int]] = Field(max_length=10_000)
    shown: list[tuple[int | None, float]] = Field(max_length=10_000)
    stats: list[dict[str, Number]] = Field(max_length=1000)


class Desk:
    """A server on 127.0.0.1, and what the page has said so far. ``settings``: for the page;
    ``partner``: host and port of the receiver's public server, at the sender.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        hear: Callable[[Report], None],
        partner: tuple[str, int] | None = None,
    ) -> None:
        self.loaded, self.go = threading.Event(), threading.Event()
        self.failed = ""
        self._hear, self._partner = hear, partner
        self._settings = dict(settings)
        self._offers: queue.Queue[Description] = queue.Queue(1)
        self._answers: queue.Queue[Description] = queue.Queue(1)
        self._servers: list[ThreadingHTTPServer] = []
        self._lock = threading.Lock()
        port = self._serve("127.0.0.1", 0, self._from_page)
        self.url = f"http://127.0.0.1:{port}/"

    def open(self, address: str, port: int) -> None:
        """Take the sender's offer at this address. Raises OSError."""
        self._serve(address, port, self._from_sender)

    def close(self) -> None:
        """Stop serving."""
        self.go.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, address: str, port: int, answer: Answer) -> int:
        server = _Server((address, port), _handler(answer))
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return int(server.server_address[1])

    def _from_page(self, path: str, body: bytes | None) -> bytes:
        if body is None:
            return self._page_asks(path)
        if path == "/hello":
            self.loaded.set()
        elif path == "/failed":
            self.failed = str(json.loads(body)["reason"])[:300]
        elif path == "/report":
            report = Report.model_validate_json(body)
            with self._lock:
                self._hear(report)
        elif path == "/offer":
            return self._forward(Description.model_validate_json(body))
        elif path == "/answer":
            self._answers.put(Description.model_validate_json(body), timeout=_CALL_SET_UP_S)
        else:
            raise KeyError(path)
        return b"{}"

    def _page_asks(self, path: str) -> bytes:
        if path == "/":
            return resources.files(__package__).joinpath("page.html").read_bytes()
        if path == "/settings":
            return json.dumps(self._settings).encode()
        if path == "/go":
            self.go.wait()
            return b"{}"
        if path == "/offer":
            while True:  # the call begins when it begins
                try:
                    return self._offers.get(timeout=1).model_dump_json().encode()
                except queue.Empty:
                    if self.go.is_set():
                        raise
        raise KeyError(path)

    def _forward(self, offer: Description) -> bytes:
        """To the receiver's desk; returns its answer."""
        assert self._partner is not None
        connection = http.client.HTTPConnection(*self._partner, timeout=_CALL_SET_UP_S)
        try:
            connection.request("POST", "/call", offer.model_dump_json())
            response = connection.getresponse()
            answer = Description.model_validate_json(response.read(_MAX_BODY_BYTES))
        finally:
            connection.close()
        return answer.model_dump_json().encode()

    def _from_sender(self, path: str, body: bytes | None) -> bytes:
        if path != "/call" or body is None:
            raise KeyError(path)
        self._offers.put(Description.model_validate_json(body), timeout=_CALL_SET_UP_S)
        return self._answers.get(timeout=_CALL_SET_UP_S).model_dump_json().encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


Answer = Callable[[str, bytes | None], bytes]


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 <= length <= _MAX_BODY_BYTES:
                self.send_error(413)
                return
            self._reply(self.rfile.read(length))

        def _reply(self, body: bytes | None) -> None:
            try:
                content = answer(self.path, body)
            except (KeyError, ValidationError, ValueError):
                self.send_error(400)
                return
            except (OSError, http.client.HTTPException, queue.Empty, queue.Full):
                self.send_error(504)
                return
            self.send_response(200)
            kind = "text/html" if self.path == "/" else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Not to the log."""

    return Handler
