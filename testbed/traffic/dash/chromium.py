"""The player in a browser: dash.js plays on a page of ours; levels come from dash.js itself or, by
a rule in the page, from us.
"""

from __future__ import annotations

import threading
import time

from testbed.errors import UserError
from testbed.traffic.abr import DASH_JS
from testbed.traffic.base import FlowSpec
from testbed.traffic.browser import Browser
from testbed.traffic.dash.decide import Decision, decider, rehearse
from testbed.traffic.dash.element import VideoElement
from testbed.traffic.dash.gateway import Event, Gateway, LoadedChunk, PageClock, Report
from testbed.traffic.dash.logs import SessionLog
from testbed.traffic.dash.options import DashOptions
from testbed.traffic.dash.session import PlayerSession
from testbed.traffic.process import Interval, Terminated, await_start
from testbed.traffic.sockets import use_client_ports
from testbed.units import NS_PER_MS, NS_PER_S

_LOAD_S = 28.0  # until the page is there: less than a run waits for its players
_WATCH_S = 0.05


class Listener:
    """Turns the page's reports into the session. Called by one thread at a time."""

    def __init__(self, session: PlayerSession, element: VideoElement) -> None:
        self._session, self._element = session, element
        self._clock = PageClock()
        self._chosen: dict[int, Decision] = {}
        # What dash.js fetched beside the chunk before, and had sooner.
        self._early: dict[int, LoadedChunk] = {}
        self._last_ns = 0
        self.loaded = threading.Event()
        self.ended = threading.Event()
        self.how, self.error = "stopped", ""

    def hear(self, report: Report, received_ns: int) -> int | None:
        """A report; returns the level that it asks for."""
        self._clock.seen(report, received_ns)
        for chunk in report.chunks:
            self._element.at(round(report.position_s * NS_PER_S))
            if chunk.chunk >= self._session.chunk:  # else dash.js fetched one again
                self._early.setdefault(chunk.chunk, chunk)
            while not self._session.over and self._session.chunk in self._early:
                self._arrived(self._early.pop(self._session.chunk))
        self._element.at(round(report.position_s * NS_PER_S))
        for event in report.events:
            self._happened(event)
        if not report.choose or self._session.over:
            return None
        number = self._session.chunk
        if number not in self._chosen:
            self._chosen[number] = self._session.choose(received_ns)
        return self._chosen[number].level

    def _arrived(self, chunk: LoadedChunk) -> None:
        session = self._session
        chosen = self._chosen.pop(chunk.chunk, None)
        if chunk.chunk == 0:
            decision = Decision(chunk.level, "start", 0)
        elif chosen is not None and chosen.level == chunk.level:
            decision = chosen
        else:
            decision = Decision(chunk.level, DASH_JS, 0)
        times_ns = [
            self._clock.to_ns(at_ms) for at_ms in (chunk.request_ms, chunk.first_ms, chunk.last_ms)
        ]
        size_bytes = session.size_bytes(chunk.level)
        # A chunk that overtook the one before can be played as soon as both are there.
        self._last_ns = max(self._last_ns, times_ns[2])
        session.arrived(decision, size_bytes, times_ns[0], times_ns[1], self._last_ns)

    def _happened(self, event: Event) -> None:
        at_ns = self._clock.to_ns(event.at_ms)
        if event.kind == "hello":
            self.loaded.set()
        elif event.kind == "playing":
            self._session.resumed(at_ns, self._element.playing(at_ns))
        elif event.kind == "waiting":
            self._element.waiting(at_ns)
        elif event.kind == "ended":
            self._element.end()
            self.ended.set()
        elif event.kind == "server-gone":
            self.how = "server-gone"
            self.ended.set()
        else:
            self.error = event.detail
            self.ended.set()


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
    element = VideoElement(round(options.played.chunk_ms * NS_PER_MS))
    session = PlayerSession(spec, options, chooses, log, element)
    listener = Listener(session, element)
    gateway = Gateway(listener.hear)
    try:
        browser = Browser(gateway.url, spec.log_dir / f"profile-{spec.flow}")
        try:
            _await_page(browser, listener, terminated)
            interval = await_start(terminated)
            if interval is not None:
                session.start_ns = interval.start_ns
                gateway.go(_page_options(spec, options))
                _watch(browser, listener, session, log, interval, terminated)
        finally:
            browser.stop()
    finally:
        gateway.close()
        log.write()
        chooses.close()


def _page_options(spec: FlowSpec, options: DashOptions) -> dict[str, object]:
    video, own = options.played, options.abr == DASH_JS
    # With a rule of ours dash.js was seen to keep its buffer a chunk below what it is told.
    spare_s = 0.0 if own else video.chunk_ms / 1000
    host = f"[{spec.sender_address}]" if ":" in spec.sender_address else spec.sender_address
    return {
        "manifest": f"http://{host}:{spec.sender_port}/manifest.mpd",
        "own_rules": own,
        "buffer_s": options.buffer_cap_s + spare_s,
        "start_kbps": float(video.bitrates_kbps[options.start_level]),
        "chunks": video.chunks,
        "session_id": f"{spec.seed:x}-{spec.flow}",
    }


def _await_page(browser: Browser, listener: Listener, terminated: Terminated) -> None:
    deadline = time.monotonic() + _LOAD_S
    while not listener.loaded.wait(_WATCH_S) and not terminated:
        browser.check()
        if time.monotonic() > deadline:
            raise UserError(
                f"player chromium: no page after {_LOAD_S:g} s; if the machine is too busy, set "
                "player to headless"
            )


def _watch(
    browser: Browser,
    listener: Listener,
    session: PlayerSession,
    log: SessionLog,
    interval: Interval,
    terminated: Terminated,
) -> None:
    """Until the session ends; its log is kept written meanwhile."""
    try:
        while not terminated and time.monotonic_ns() < interval.stop_ns:
            if listener.ended.wait(_WATCH_S):
                break
            browser.check()
            log.write()
    finally:
        session.end(min(time.monotonic_ns(), interval.stop_ns), listener.how)
    if listener.error:
        raise UserError(f"player chromium: the page failed: {listener.error}")
