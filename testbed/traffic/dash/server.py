"""The sender's end: an HTTP/1.1 server of one video, under the flow's congestion controller."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from policy.tasks.abr.video import Video, manifest_text
from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.traffic.connections import Connections
from testbed.traffic.dash import cmcd
from testbed.traffic.dash.logs import RequestLog
from testbed.traffic.dash.media import Media
from testbed.traffic.dash.options import DashOptions
from testbed.traffic.process import Terminated, await_start
from testbed.traffic.sockets import read_congestion, serving
from testbed.traffic.tcpinfo import INTERVAL_NS
from testbed.units import NS_PER_S

_MAX_CONNECTIONS = 32
_SLICE = bytes(64 * 1024)


class _Handler(BaseHTTPRequestHandler):
    """One connection; the base class reads requests and keeps it alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: VideoServer

    def do_GET(self) -> None:
        """The manifest for programs, the manifest for browsers, the init segment, or a chunk."""
        arrived_ns = time.monotonic_ns()
        files, path = self.server.files, PurePosixPath(urlsplit(self.path).path)
        chunk = files.chunk(path)
        if chunk is not None:
            size, parts = chunk.size_bytes, chunk.parts
        elif (text := files.texts.get(str(path))) is not None:
            size, parts = len(text), lambda: iter([text])
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4" if chunk else "application/octet-stream")
        self.send_header("Content-Length", str(size))
        # The page of a browser comes from another host and may look at times and bytes.
        for name in ("Access-Control-Allow-Origin", "Timing-Allow-Origin"):
            self.send_header(name, "*")
        self.send_header("Cache-Control", "no-store")
        try:
            self.end_headers()
            for part in parts():
                self.wfile.write(part)
        except OSError:
            self.close_connection = True
        if chunk is not None:
            told = cmcd.of_request(self.path)
            port = int(self.client_address[1])
            self.server.log.append(arrived_ns, port, chunk.level, chunk.number, size, told)

    def log_message(self, format: str, *args: Any) -> None:
        """The requests' log holds what is of interest."""


class _Chunk:
    """A chunk as it is served."""

    def __init__(self, media: Media, level: int, number: int, size_bytes: int) -> None:
        self.level, self.number, self.size_bytes = level, number, size_bytes
        self._media = media

    def parts(self) -> Iterator[bytes]:
        """Its bytes, in slices: padding first, then what a browser can decode."""
        head, tail = self._media.around_padding(self.level, self.number, self.size_bytes)
        yield head
        left = self.size_bytes - len(head) - len(tail)
        while left > 0:
            yield _SLICE[: min(left, len(_SLICE))]
            left -= len(_SLICE)
        yield tail


class Files:
    """What the server has: texts by path, and chunks."""

    def __init__(self, video: Video) -> None:
        self._video, self._media = video, Media(video)
        self.texts = {
            "/video.json": manifest_text(video).encode(),
            "/manifest.mpd": self._media.mpd().encode(),
            "/init.mp4": self._media.init,
        }

    def chunk(self, path: PurePosixPath) -> _Chunk | None:
        """The chunk at ``/chunk/LEVEL/NUMBER.m4s``; None if there is none."""
        parts = path.parts
        if len(parts) != 4 or parts[1] != "chunk" or path.suffix != ".m4s":
            return None
        level, number = parts[2], path.stem
        if not (level.isascii() and number.isascii() and level.isdigit() and number.isdigit()):
            return None
        if len(level) > 3 or len(number) > 9:
            return None
        sizes = self._video.sizes_bytes
        if int(level) >= self._video.levels or int(number) >= len(sizes):
            return None
        size = round(float(sizes[int(number), int(level)]))
        return _Chunk(self._media, int(level), int(number), size)


class VideoServer(ThreadingHTTPServer):
    """A thread per connection. `failed` holds what should end the flow."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listening: socket.socket, congestion: str, files: Files, log: RequestLog,
        connections: Connections,
    ) -> None:  # fmt: skip
        address = listening.getsockname()
        super().__init__(address[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.files, self.log, self.connections = files, log, connections
        self.failed: UserError | None = None
        self._congestion = congestion

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept, and check that the controller of the listening socket was inherited."""
        sock, address = super().get_request()
        found = read_congestion(sock)
        if found != self._congestion:
            self.failed = UserError(
                f"congestion controller {self._congestion!r} was asked for, but a connection of "
                f"the server has {found!r}"
            )
        self.connections.add(sock)
        return sock, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another connection."""
        return len(self.connections) <= _MAX_CONNECTIONS

    def close_request(self, request: Any) -> None:
        """Keep the connection's counters, then close it."""
        self.connections.retire(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke ends alone."""


def serve(spec: FlowSpec) -> None:
    """Serve until the stop time or SIGTERM, logging requests, TCP_INFO and goodput.

    Raises UserError, OSError.
    """
    terminated = Terminated()
    options = DashOptions.model_validate(spec.options)
    listening = serving(spec)
    connections, log = Connections(spec), RequestLog(spec)
    files = Files(options.played)
    server = VideoServer(listening, spec.tcp_congestion, files, log, connections)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        interval = await_start(terminated)
        while interval is not None and not terminated and server.failed is None:
            now_ns = time.monotonic_ns()
            if now_ns >= interval.stop_ns:
                break
            connections.sample(now_ns)
            time.sleep(INTERVAL_NS / NS_PER_S)
        connections.sample(time.monotonic_ns())
    finally:
        server.shutdown()
        thread.join()
        listening.close()
        connections.abort()
        connections.write()
        log.write()
    if server.failed is not None:
        raise server.failed
