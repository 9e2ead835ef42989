"""Streaming sessions against hand-computed cases and against published logs."""

import os
from pathlib import Path

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video

FOLDER = Path(os.environ.get("TBTEST_ABR", Path(__file__).parents[5] / "shared" / "abr"))


def video(chunks: int = 4) -> Video:
    # 4 s chunks of exactly 1 and 2 Mbit/s.
    sizes = np.tile([500_000.0, 1_000_000.0], (chunks, 1))
    return Video("test", 4000, np.array([1000.0, 2000.0]), sizes)


def steady(mbps: float) -> Bandwidth:
    return Bandwidth("steady", np.arange(101.0), np.full(101, mbps))


def test_pensieve_download_is_payload_share_and_round_trip():
    sessions = start(video(), pack([steady(2.0)]), start_level=None)
    step = sessions.step(np.array([0]))
    # 4 Mbit at 2 x 0.95 Mbit/s, then 80 ms.
    assert step.download_ms[0] == pytest.approx(4 / 1.9 * 1000 + 80)
    assert step.stall_ms[0] == pytest.approx(step.download_ms[0])
    assert step.reward[0] == 0
    step = sessions.step(np.array([1]))
    download = 8 / 1.9 * 1000 + 80
    assert step.stall_ms[0] == pytest.approx(download - 4000)
    # 2 Mbit/s - 2 x stall - |2 - 1|
    assert step.reward[0] == pytest.approx(2 - 2 * (download - 4000) / 1000 - 1)


def test_session_round_trip_advances_the_trace():
    trace = Bandwidth("step", np.array([0.0, 1.0, 100.0]), np.array([1.0, 1.0, 4.0]))
    sessions = start(video(), pack([trace]), model=Model.SESSION, rtt_ms=500, start_level=None)
    # 0.5 s of request, 0.5 s at 1 Mbit/s, the remaining 3.5 Mbit at 4 Mbit/s.
    assert sessions.step(np.array([0])).download_ms[0] == pytest.approx(500 + 500 + 875)


def test_tcp_grows_from_ten_segments():
    sessions = start(video(), pack([steady(1000.0)]), model=Model.TCP, rtt_ms=100, start_level=None)
    # Windows of 14,480 B x (1 + 2 + ... + 16) = 448,880 B take five rounds; the rest fits the
    # sixth.
    rest_ms = (500_000 - 31 * 14_480) * 8 / 1e9 * 1e3
    assert sessions.step(np.array([0])).download_ms[0] == pytest.approx(100 + 500 + rest_ms)


def test_a_full_buffer_waits():
    sessions = start(video(40), pack([steady(100.0)]), start_level=0)
    while not sessions.done:
        step = sessions.step(np.array([0]))
        assert sessions.state.buffer_ms[0] <= 60_000
    assert step.wait_ms[0] % 500 == 0
    assert step.wait_ms[0] > 0


def test_outages_are_passed_and_the_trace_wraps():
    trace = Bandwidth("outage", np.array([0.0, 5.0, 25.0]), np.array([0.0, 2.0, 0.0]))
    sessions = start(video(), pack([trace]), start_level=1)
    # 9.5 Mbit in the first 5 s, of which chunk 0 takes 8; chunk 1 ends after the outage of 20 s.
    step = sessions.step(np.array([1]))
    assert step.download_ms[0] > 20_000


def test_copies_are_independent():
    sessions = start(video(), pack([steady(2.0)]))
    copies = sessions.take(np.array([0, 0]))
    copies.step(np.array([0, 1]))
    assert sessions.chunk == 1
    assert copies.state.buffer_ms[0] > copies.state.buffer_ms[1]


def test_a_level_outside_the_ladder_is_refused():
    sessions = start(video(), pack([steady(2.0)]))
    with pytest.raises(PolicyError, match="from 0 to 1"):
        sessions.step(np.array([2]))


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published logs in {FOLDER} (set TBTEST_ABR)")
def test_published_logs_are_replayed():
    import pandas as pd

    from experiments.abr.replay import replay

    log = pd.read_parquet(FOLDER / "logs" / "fcc-264-part.parquet")
    assert (replay(log, FOLDER, "fcc-264-part") < 1e-6).all()
