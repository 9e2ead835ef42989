"""Offer and answer find each other over HTTP, and the page's mistakes are refused."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from testbed.traffic.call.desk import Desk, Report

OFFER = {"type": "offer", "sdp": "v=0 offer"}
ANSWER = {"type": "answer", "sdp": "v=0 answer"}


@pytest.fixture
def heard() -> list[Report]:
    return []


@pytest.fixture
def desks(heard: list[Report]) -> Iterator[tuple[Desk, Desk]]:
    receiver = Desk({"role": "receiver"}, heard.append)
    receiver.open("127.0.0.1", 0)
    port = int(receiver._servers[1].server_address[1])
    sender = Desk({"role": "sender", "max_bps": 1e6}, heard.append, ("127.0.0.1", port))
    yield sender, receiver
    sender.close()
    receiver.close()


def ask(desk: Desk, path: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(desk.url + path.lstrip("/"), data, timeout=60) as response:
        return json.loads(response.read())


def test_an_offer_travels_to_the_other_page_and_the_answer_back(desks: tuple[Desk, Desk]) -> None:
    sender, receiver = desks
    taken: list[object] = []

    def answer() -> None:
        taken.append(ask(receiver, "/offer"))
        ask(receiver, "/answer", ANSWER)

    page = threading.Thread(target=answer)
    page.start()
    assert ask(sender, "/offer", OFFER) == ANSWER
    page.join()
    assert taken == [OFFER]


def test_a_page_gets_its_settings_waits_for_the_start_and_reports(
    desks: tuple[Desk, Desk], heard: list[Report]
) -> None:
    sender, _ = desks
    assert ask(sender, "/settings") == {"role": "sender", "max_bps": 1e6}
    assert not sender.loaded.is_set()
    ask(sender, "/hello", {})
    assert sender.loaded.is_set()
    sender.go.set()
    assert ask(sender, "/go") == {}
    ask(sender, "/report", {"encoded": [[1, 2.0, 3, 0]], "shown": [], "stats": []})
    assert heard[0].encoded == [(1, 2.0, 3, 0)]
    ask(sender, "/failed", {"reason": "no camera"})
    assert sender.failed == "no camera"


@pytest.mark.parametrize("path", ["/nothing", "/report"])
def test_what_no_page_says_is_refused(desks: tuple[Desk, Desk], path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(desks[0], path, {"encoded": "all"})
