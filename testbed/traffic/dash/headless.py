"""The player without a browser: one HTTP/1.1 connection, a buffer, and no decoding."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import suppress

from policy.tasks.abr.video import MAX_MANIFEST_BYTES, parse_video
from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.traffic.dash.cmcd import to_query
from testbed.traffic.dash.decide import decider, rehearse
from testbed.traffic.dash.logs import SessionLog
from testbed.traffic.dash.options import DashOptions
from testbed.traffic.dash.playback import Playback
from testbed.traffic.dash.session import PlayerSession
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.sockets import use_client_ports
from testbed.units import NS_PER_MS, NS_PER_S

_ATTEMPTS = 3
_PAUSE_S = 0.5
_WATCH_S = 0.05


class Fetch:
    """Whole bodies over one connection that is kept; `abort` ends a wait in another thread."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port)
        self._buffer = bytearray(256 * 1024)
        self.aborted = threading.Event()

    def get(self, target: str, expected_bytes: int | None) -> tuple[bytes, int, int, int]:
        """(body, request, first byte, last byte), times CLOCK_MONOTONIC. The body of an expected
        size is discarded.

        Raises OSError or http.client.HTTPException where the connection breaks, UserError for an
        answer of another status or size.
        """
        if self.aborted.is_set():
            raise ConnectionAbortedError
        request_ns = time.monotonic_ns()
        self._connection.request("GET", target)
        response = self._connection.getresponse()
        first_ns = time.monotonic_ns()
        length = response.length
        if response.status != 200 or (expected_bytes is not None and length != expected_bytes):
            raise UserError(
                f"{target.partition('?')[0]}: the server answered {response.status} with {length} "
                f"bytes, expected were {expected_bytes}"
            )
        if expected_bytes is None:
            body = response.read(MAX_MANIFEST_BYTES)
            return body, request_ns, first_ns, time.monotonic_ns()
        left = expected_bytes
        while left:
            received = response.readinto(self._buffer)
            if not received:
                raise ConnectionAbortedError("the server closed before the end")
            left -= received
        last_ns = time.monotonic_ns()
        response.close()
        return b"", request_ns, first_ns, last_ns

    def reconnect(self) -> None:
        """The next request opens a new connection."""
        self._connection.close()

    def abort(self) -> None:
        """Let what waits fail now, and every later request."""
        self.aborted.set()
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Player(threading.Thread):
    """Plays until the video has arrived, the fetches are aborted or the server is gone."""

    def __init__(
        self, fetch: Fetch, session: PlayerSession, playback: Playback, session_id: str
    ) -> None:
        super().__init__(daemon=True)
        self._fetch, self._session, self._id = fetch, session, session_id
        self._playback = playback
        self.error: Exception | None = None
        self.ended = "stopped"

    def run(self) -> None:
        """See Thread."""
        try:
            self._play()
        except (OSError, http.client.HTTPException):
            self.ended = "stopped" if self._fetch.aborted.is_set() else "server-gone"
        except Exception as error:  # noqa: BLE001 (raised again in the main thread)
            self.error = error

    def _play(self) -> None:
        body, _, _, _ = self._retried("/video.json", None)
        video = parse_video(body, "the server's manifest")
        session = self._session
        while not session.over:
            wait_ns = self._playback.wait_ns(time.monotonic_ns())
            if wait_ns and self._fetch.aborted.wait(wait_ns / NS_PER_S):
                return
            decision = session.choose(time.monotonic_ns())
            told = to_query(session.told(decision.level, time.monotonic_ns()), self._id)
            target = f"/chunk/{decision.level}/{session.chunk}.m4s?{told}"
            size = round(float(video.sizes_bytes[session.chunk, decision.level]))
            _, request_ns, first_ns, last_ns = self._retried(target, size)
            session.arrived(decision, size, request_ns, first_ns, last_ns)

    def _retried(self, target: str, expected: int | None) -> tuple[bytes, int, int, int]:
        """`Fetch.get`, again on a new connection where one breaks; the request's time stays that of
        the first attempt.
        """
        began_ns = time.monotonic_ns()
        for attempt in range(_ATTEMPTS):
            try:
                body, _, first_ns, last_ns = self._fetch.get(target, expected)
            except (OSError, http.client.HTTPException):
                if self._fetch.aborted.is_set() or attempt + 1 == _ATTEMPTS:
                    raise
                self._fetch.reconnect()
                self._fetch.aborted.wait(_PAUSE_S)
            else:
                return body, began_ns, first_ns, last_ns
        raise AssertionError("the last attempt returns or raises")


def play(spec: FlowSpec) -> None:
    """Play until the video is over, the stop time or SIGTERM. Raises UserError, OSError,
    PolicyError.
    """
    terminated = Terminated()
    options = DashOptions.model_validate(spec.options)
    use_client_ports()
    rehearse(options)
    log = SessionLog(spec)
    chooses = decider(options, spec.policy_server)
    try:
        interval = await_start(terminated)
        if interval is not None:
            chunk_ns = round(options.played.chunk_ms * NS_PER_MS)
            playback = Playback(chunk_ns, round(options.buffer_cap_s * NS_PER_S))
            session = PlayerSession(spec, options, chooses, log, playback, interval.start_ns)
            fetch = Fetch(spec.sender_address, spec.sender_port)
            player = _Player(fetch, session, playback, f"{spec.seed:x}-{spec.flow}")
            _watch(player, fetch, session, log, interval, terminated)
    finally:
        log.write()
        chooses.close()


def _watch(
    player: _Player,
    fetch: Fetch,
    session: PlayerSession,
    log: SessionLog,
    interval: Interval,
    terminated: Terminated,
) -> None:
    """Let the player play; its log is kept written meanwhile. Raises what ended the player."""
    player.start()
    while player.is_alive() and not terminated and time.monotonic_ns() < interval.stop_ns:
        player.join(_WATCH_S)
        log.write()
    fetch.abort()
    player.join()
    session.end(min(time.monotonic_ns(), interval.stop_ns), player.ended)
    if player.error is not None:
        raise player.error
