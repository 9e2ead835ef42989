"""Headless sessions between two namespaces: what they log, and how they end when something dies."""

from __future__ import annotations

import http.client
import signal
import time

import numpy as np
import pandas as pd
import pytest

from testbed.network import Network
from testbed.traffic.dash.video import default_video
from testbed.units import NS_PER_S
from tests.testbed.traffic.dash.conftest import RATE_BPS, RATES_KBPS, Start
from traces.forms import Steps
from traces.model import Trace

pytestmark = pytest.mark.root


def check_arithmetic(chunks: pd.DataFrame, chunk_s: float) -> None:
    """The log tells one story: sizes, times, buffer and stalls fit each other."""
    request, first = chunks["request_ns"], chunks["first_byte_ns"]
    last = chunks["last_byte_ns"]
    assert (chunks["chunk"] == np.arange(len(chunks))).all()
    assert ((request < first) & (first <= last)).all()
    assert (request.iloc[1:].to_numpy() >= last.iloc[:-1].to_numpy()).all()
    took_s = (last - request) / 1e9
    np.testing.assert_allclose(chunks["throughput_bps"], chunks["size_bytes"] * 8 / took_s)
    since_s = last.diff().iloc[1:].to_numpy() / 1e9
    before = chunks["buffer_s"].iloc[:-1].to_numpy()
    after = np.maximum(before - since_s, 0) + chunk_s
    np.testing.assert_allclose(chunks["buffer_s"].iloc[1:], after, atol=1e-6)
    stall = np.maximum(since_s - before, 0)
    np.testing.assert_allclose(chunks["rebuffer_s"].iloc[1:], stall, atol=1e-6)


def test_a_video_is_played_to_its_end(session: Start) -> None:
    run = session(chunks=6)
    start_ns = run.start(20.0)
    assert run.player.wait(30) == 0  # by itself, before the stop time
    run.server.stop()
    chunks, summary = run.log("chunks"), run.log("sessions").iloc[0]
    check_arithmetic(chunks, 1.0)
    assert len(chunks) == 6
    assert chunks["source"].tolist() == ["start"] + ["rule"] * 5
    assert chunks["level"][0] == 1
    assert (chunks["bitrate_kbps"] == np.array(RATES_KBPS)[chunks["level"]]).all()
    assert (chunks["throughput_bps"] < RATE_BPS).all()
    assert (chunks["first_byte_ns"] - chunks["request_ns"] > 20_000_000).all()
    assert (summary["ended"], summary["start_ns"]) == ("over", start_ns)
    assert summary["started_ns"] == chunks["last_byte_ns"][0]
    assert (summary["chunks"], summary["open_stall_s"]) == (6, 0)
    requests = run.log("requests")
    assert requests["level"].tolist() == chunks["level"].tolist()
    assert requests["cmcd_br"].tolist() == chunks["bitrate_kbps"].tolist()
    assert requests["cmcd_su"].tolist()[0] == 1
    assert requests["port"].between(20_000, 29_999).all()
    assert requests["port"].nunique() == 1  # one connection is kept
    # Half a round trip after the player asked.
    assert ((requests["at_ns"] - chunks["request_ns"]) > 9_000_000).all()
    goodput, info = run.log("goodput"), run.log("tcpinfo")
    served = chunks["size_bytes"].sum()
    assert served < goodput["received_bytes"].max() < 1.05 * served + 60_000
    assert 0 < info["bytes_acked"].max() < goodput["received_bytes"].max() + 100_000


def test_a_full_buffer_makes_requests_wait(session: Start) -> None:
    run = session(abr="bba", buffer_cap_s=3.0, chunks=12)
    run.start(8.0)
    assert run.player.wait(30) == 0
    chunks = run.log("chunks")
    assert (chunks["buffer_s"] <= 3.0 + 1e-6).all()
    waited_s = chunks["request_ns"].iloc[1:].to_numpy() - chunks["last_byte_ns"].iloc[:-1]
    assert waited_s.max() / 1e9 > 0.2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_player_that_ends_leaves_what_it_had(session: Start, signum: int) -> None:
    run = session()
    run.start(60.0)
    run.await_chunks(3)
    run.player._send(signum)
    assert run.player.wait(60) == (0 if signum == signal.SIGTERM else -signum)
    check_arithmetic(run.log("chunks"), 1.0)
    assert run.log("sessions")["ended"].tolist() == ["stopped"]
    run.server.check()  # it goes on
    assert run.server.stop(60.0) == 0
    assert len(run.log("requests")) >= 3


def test_a_server_that_is_killed_ends_the_session(session: Start) -> None:
    run = session()
    run.start(60.0)
    run.await_chunks(3)
    run.server._send(signal.SIGKILL)
    assert run.player.wait(60) == 0
    chunks = run.log("chunks")
    assert len(chunks) >= 3
    check_arithmetic(chunks, 1.0)
    summary = run.log("sessions").iloc[0]
    assert summary["ended"] == "server-gone"
    assert summary["end_ns"] < time.monotonic_ns()


@pytest.mark.slow
def test_an_outage_of_twenty_seconds_is_outlived(session: Start) -> None:
    times = np.array([0, 4, 24]) * NS_PER_S
    outage = Trace("outage", None, Steps(times, np.array([5e6, 0.0, 5e6])))
    run = session(outage)
    start_ns = run.start(45.0)
    assert [run.player.wait(60), run.server.wait(60)] == [0, 0]
    chunks, summary = run.log("chunks"), run.log("sessions").iloc[0]
    check_arithmetic(chunks, 1.0)
    back = chunks[chunks["last_byte_ns"] > start_ns + 24 * NS_PER_S]
    assert len(back) > 3
    # Nothing arrived meanwhile, and the stall is one.
    during = chunks["last_byte_ns"].between(start_ns + 5 * NS_PER_S, start_ns + 24 * NS_PER_S)
    assert not during.any()
    assert chunks["rebuffer_s"].max() > 5
    assert summary["ended"] == "stopped"


def test_an_outage_that_lasts_is_an_open_stall(session: Start) -> None:
    times = np.array([0, 3]) * NS_PER_S
    run = session(Trace("end", None, Steps(times, np.array([5e6, 0.0]))), abr="mpc", chunks=50)
    run.start(16.0)
    assert [run.player.wait(40), run.server.wait(60)] == [0, 0]
    chunks, summary = run.log("chunks"), run.log("sessions").iloc[0]
    last = chunks.iloc[-1]
    stood_s = (summary["end_ns"] - last["last_byte_ns"]) / 1e9 - last["buffer_s"]
    assert summary["open_stall_s"] == pytest.approx(stood_s, abs=1e-6)
    assert stood_s > 1


def test_the_server_answers_only_what_it_has(session: Start) -> None:
    run = session(abr="bba", buffer_cap_s=2.0)
    run.start(6.0)
    network: Network = run.network
    with network.pairs[0].receiver.netns.inside():
        connection = http.client.HTTPConnection(run.spec.sender_address, run.spec.sender_port, 20)
        for target, status in (
            ("/manifest.mpd", 200),
            ("/chunk/0/0.m4s?CMCD=%00%ff", 200),
            ("/chunk/9/0.m4s", 404),
            ("/../../etc/passwd", 404),
        ):
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, answer.version) == (status, 11), target
            if target.startswith("/chunk/0/0"):
                assert len(body) == 250 * 900 // 8
            if status == 404:
                break
        connection.close()
    assert [run.player.wait(30), run.server.wait(60)] == [0, 0]


def test_the_default_video_is_the_fields_ladder() -> None:
    video = default_video()
    nominal = video.bitrates_kbps * video.chunk_ms / 8
    np.testing.assert_allclose(video.sizes_bytes.mean(axis=0), nominal, rtol=0.05)
