"""The page's server on the player's loopback: gives it the player, hears its reports, answers its
questions for levels.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MAX_REPORT_BYTES = 256 * 1024
_REMEMBERED = 16
_FILES = {
    "/": ("index.html", "text/html"),
    "/player.js": ("player.js", "text/javascript"),
    "/dash.mediaplayer.min.js": ("dash.mediaplayer.min.js", "text/javascript"),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Milliseconds = Field(ge=0, le=1e12, allow_inf_nan=False)


class LoadedChunk(_Part):
    """A chunk that the page has; times on the page's clock."""

    chunk: int = Field(ge=0, le=10**6)
    level: int = Field(ge=0, le=31)
    request_ms: float = Milliseconds
    first_ms: float = Milliseconds
    last_ms: float = Milliseconds
    size_bytes: int = Field(ge=0, le=2**40)


class Event(_Part):
    """What happened to the video element, or to the page."""

    kind: Literal["hello", "playing", "waiting", "ended", "server-gone", "error"]
    at_ms: float = Milliseconds
    detail: str = Field("", max_length=1000)


class RoundTrip(_Part):
    """How long the report that was written at ``now_ms`` took until its answer was there."""

    now_ms: float = Milliseconds
    took_ms: float = Milliseconds


class Report(_Part):
    """What the page tells at once, in the order of time; with ``choose`` it asks for a level.
    ``answered``: an earlier report.
    """

    now_ms: float = Milliseconds
    answered: RoundTrip | None = None
    position_s: float = Field(ge=0, le=1e9, allow_inf_nan=False)
    choose: bool
    chunks: list[LoadedChunk] = Field(max_length=1000)
    events: list[Event] = Field(max_length=1000)


class PageClock:
    """Places times of the page on CLOCK_MONOTONIC: a report arrives half of its round trip after it
    was written (Cristian's algorithm), and the quickest one tells best.
    """

    def __init__(self) -> None:
        self._received_ns: dict[float, int] = {}
        self._offset_ns, self._quickest_ms = 0, math.inf

    def seen(self, report: Report, received_ns: int) -> None:
        """A report came in."""
        self._received_ns[report.now_ms] = received_ns
        while len(self._received_ns) > _REMEMBERED:
            del self._received_ns[next(iter(self._received_ns))]
        trip = report.answered
        if trip is None or trip.took_ms >= self._quickest_ms:
            return
        earlier_ns = self._received_ns.get(trip.now_ms)
        if earlier_ns is not None:
            self._quickest_ms = trip.took_ms
            self._offset_ns = earlier_ns - round((trip.now_ms + trip.took_ms / 2) * 1e6)

    def to_ns(self, page_ms: float) -> int:
        """CLOCK_MONOTONIC."""
        return round(page_ms * 1e6) + self._offset_ns


Hear = Callable[[Report, int], int | None]


class Gateway(ThreadingHTTPServer):
    """Calls ``hear`` with each report and when it came (ns), one at a time; it answers a level."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, hear: Hear) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._hear, self._lock = hear, threading.Lock()
        self._go: dict[str, object] | None = None
        self._told = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"

    def go(self, options: dict[str, object] | None) -> None:
        """Let the page play with these options; None: it is to do nothing."""
        self._go = options
        self._told.set()

    def options(self) -> dict[str, object] | None:
        """Waits for ``go``."""
        self._told.wait()
        return self._go

    def hear(self, body: bytes) -> dict[str, object]:
        """The answer to a report. Raises ValidationError for what is none."""
        received_ns = time.monotonic_ns()
        report = Report.model_validate_json(body)
        with self._lock:
            return {"level": self._hear(report, received_ns)}

    def close(self) -> None:
        """Stop serving."""
        self.go(None)
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Gateway

    def do_GET(self) -> None:
        if self.path == "/go":
            options = self.server.options()
            self._answer(410 if options is None else 200, json.dumps(options or {}).encode())
        elif self.path in _FILES:
            name, kind = _FILES[self.path]
            folder = resources.files("testbed.traffic.dash").joinpath("page")
            self._answer(200, folder.joinpath(name).read_bytes(), kind)
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/report" or not length.isdigit() or int(length) > _MAX_REPORT_BYTES:
            self.close_connection = True
            self._answer(400, b"")
            return
        try:
            answer = self.server.hear(self.rfile.read(int(length)))
        except ValidationError:
            self._answer(400, b"")
        else:
            self._answer(200, json.dumps(answer).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The session's log holds what is of interest."""
