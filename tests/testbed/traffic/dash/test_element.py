"""What a page reports becomes buffer, stalls and times."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.dash.chromium import Listener
from testbed.traffic.dash.decide import Decision
from testbed.traffic.dash.element import VideoElement
from testbed.traffic.dash.gateway import Gateway, LoadedChunk, PageClock, Report, RoundTrip
from testbed.traffic.dash.logs import Chunk, with_stalls
from testbed.traffic.dash.session import PlayerSession
from testbed.units import NS_PER_MS, NS_PER_S

CHUNK_NS = 2 * NS_PER_S


def test_a_session_by_hand() -> None:
    element = VideoElement(CHUNK_NS)
    element.waiting(1)  # before the start: nothing
    element.arrived(5)
    assert (element.buffer_ns(5), element.playing(7), element.started_ns) == (CHUNK_NS, 0, 7)
    element.at(NS_PER_S)
    assert element.buffer_ns(8) == NS_PER_S
    element.waiting(100)
    element.waiting(150)  # the same stall
    assert element.stalled_ns(170) == 70
    element.arrived(180)
    assert element.playing(190) == 90
    assert element.stalled_ns(500) == 0
    element.end()
    element.waiting(600)
    assert element.stalled_ns(700) == 0


def chunk(number: int, last_ns: int) -> Chunk:
    return Chunk(0, number, 0, 1.0, 1.0, 1, 0, 0, last_ns, 0.0, 0.0, 1.0, "rule", 0)


def test_stalls_go_to_the_chunk_that_ended_them() -> None:
    chunks = [chunk(number, 100 * number) for number in range(4)]
    found = with_stalls(chunks, [(50, 9.0), (110, 0.5), (199, 0.25), (900, 2.0)])
    assert [row.rebuffer_s for row in found] == [0.0, 0.75, 0.0, 2.0]


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.01, 50)), min_size=1, max_size=30),
)
def test_the_pages_clock_is_known_to_half_of_the_quickest_round_trip(
    offset_ns: int, trips_ms: list[tuple[float, float]]
) -> None:
    clock, answered, page_ms = PageClock(), None, 1000.0
    for there_ms, back_ms in [*trips_ms, (1.0, 1.0)]:
        report = Report(
            now_ms=page_ms, answered=answered, position_s=0, choose=False, chunks=[], events=[]
        )
        clock.seen(report, round((page_ms + there_ms) * 1e6) + offset_ns)
        answered = RoundTrip(now_ms=page_ms, took_ms=there_ms + back_ms)
        page_ms += 100.0
    quickest_ms = min(there + back for there, back in trips_ms)
    assert abs(clock.to_ns(500.0) - 500_000_000 - offset_ns) <= quickest_ms / 2 * 1e6 + 1000


class Heard:
    """A session that notes what arrives."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[int, int, int]] = []

    @property
    def chunk(self) -> int:
        return len(self.arrivals)

    @property
    def over(self) -> bool:
        return self.chunk == 5

    def size_bytes(self, level: int) -> int:
        return 1000

    def arrived(self, decision: Decision, size: int, request: int, first: int, last: int) -> None:
        self.arrivals.append((decision.level, request // NS_PER_MS, last // NS_PER_MS))


def test_chunks_that_overtake_each_other_or_come_twice_are_logged_once_and_in_order() -> None:
    def loaded(number: int, level: int, request_ms: float, last_ms: float) -> LoadedChunk:
        return LoadedChunk(
            chunk=number, level=level, request_ms=request_ms, first_ms=request_ms, last_ms=last_ms,
            size_bytes=9,
        )  # fmt: skip

    heard = Heard()
    listener = Listener(cast(PlayerSession, heard), VideoElement(CHUNK_NS))
    for chunks in (
        [loaded(0, 1, 0, 10)],
        [loaded(2, 3, 12, 20), loaded(3, 3, 13, 21)],
        [loaded(1, 2, 11, 30), loaded(0, 4, 22, 31), loaded(4, 0, 32, 40)],
    ):
        listener.hear(
            Report(now_ms=50, position_s=0, choose=False, chunks=chunks, events=[]), 50 * NS_PER_MS
        )
    assert heard.arrivals == [(1, 0, 10), (2, 11, 30), (3, 12, 30), (3, 13, 30), (0, 32, 40)]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(lambda report, received_ns: 3 if report.choose else None)
    yield gateway
    gateway.close()


def test_the_gateway_serves_the_page_and_answers(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.server_port, 10)

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    report = {"now_ms": 1.5, "position_s": 0, "chunks": [], "events": []}
    assert b"player.js" in ask("GET", "/")[1]
    assert len(ask("GET", "/dash.mediaplayer.min.js")[1]) > 500_000
    assert ask("GET", "/../options.py")[0] == 404
    assert ask("POST", "/report", json.dumps({**report, "choose": True})) == (200, b'{"level": 3}')
    assert ask("POST", "/report", json.dumps({**report, "choose": False}))[1] == b'{"level": null}'
    for wrong in ("{", "[]", json.dumps({**report, "choose": True, "now_ms": -1})):
        assert ask("POST", "/report", wrong)[0] == 400
    gateway.go({"manifest": "m"})
    assert ask("GET", "/go") == (200, b'{"manifest": "m"}')
    assert ask("POST", "/report", "x" * 300_000)[0] == 400
