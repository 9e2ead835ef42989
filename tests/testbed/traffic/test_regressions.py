"""Mistakes once made, kept from coming back: signals while waiting, playout, rate control while
skipping, bounds.
"""

import dataclasses
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from testbed.traffic import onoff, tcpinfo
from testbed.traffic.base import FlowSpec
from testbed.traffic.video import wire
from testbed.traffic.video.adaptation import BacklogAdaptation
from testbed.traffic.video.encoder import Encoder
from testbed.traffic.video.jitterbuffer import JitterBuffer
from testbed.traffic.video.options import VideoOptions
from testbed.traffic.video.queue import FrameQueue
from testbed.units import NS_PER_MS, NS_PER_S


@pytest.mark.parametrize("module", ["testbed.traffic.bulk", "testbed.traffic.video.kind"])
@pytest.mark.parametrize(
    "started", [False, True], ids=["before the start line", "waiting in accept"]
)
def test_sigterm_ends_a_receiver_that_waits(tmp_path: Path, module: str, started: bool) -> None:
    spec = FlowSpec(
        flow=987,
        kind="any",
        tcp_congestion="cubic",
        sender_address="127.0.0.1",
        receiver_address="127.0.0.1",
        seed=1,
        options={},
        log_dir=tmp_path,
    )
    config = tmp_path / "config.json"
    config.write_text(spec.model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-m", module, "receiver", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == "ready\n"
            if started:
                process.stdin.write(f'{{"start_ns": 0, "stop_ns": {10**18}}}\n')
                process.stdin.flush()
            process.send_signal(signal.SIGTERM)
            assert (
                process.wait(60) == 0
            )  # with stdin still open; accept gives up by itself after 20 s
        finally:
            process.kill()
    assert (tmp_path / "goodput-987.parquet").exists()


def test_the_target_never_rises_while_the_sender_only_skips() -> None:
    options = VideoOptions(size_noise=0, start_bps=4e6)
    rate, encoder = BacklogAdaptation(options), Encoder(options, 1)
    queue = FrameQueue(500 * NS_PER_MS, wire.encode)
    targets = []
    for number in range(1, 30):  # an outage: nothing is ever written
        now_ns = number * NS_PER_S // 30
        queue.skip_stale(now_ns)
        rate.observe(now_ns, dataclasses.replace(tcpinfo.parse(bytes(216)), delivery_rate_bps=1e6))
        state = (
            {"sending": not queue.awaiting_keyframe} if hasattr(queue, "awaiting_keyframe") else {}
        )
        targets.append(rate.update(now_ns, queue.backlog_bytes, **state))
        queue.add(encoder.encode(now_ns, targets[-1]))
    assert max(targets[20:]) == min(targets[20:]) == 850_000


@pytest.mark.parametrize("first_ms", [10, 1200])
def test_the_display_deadline_does_not_depend_on_the_first_frame(first_ms: int) -> None:
    playout = JitterBuffer(100 * NS_PER_MS)
    playout.display_ns(0, first_ms * NS_PER_MS)
    assert (
        playout.display_ns(5 * NS_PER_S, 5 * NS_PER_S + 20 * NS_PER_MS)
        == 5 * NS_PER_S + 100 * NS_PER_MS
    )


def test_on_off_periods_are_drawn_as_needed_and_begin_on() -> None:
    options = onoff.OnOffOptions(mean_on_s=0.01, mean_off_s=0.01)
    on_ns, off_ns = islice(onoff.periods_ns(options, 1), 2)
    ask = onoff.is_on(onoff.periods_ns(options, 1))
    assert [ask(t) for t in (0, on_ns - 1, on_ns, on_ns + off_ns - 1, on_ns + off_ns)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_the_largest_frame_fits_the_wire() -> None:
    options = VideoOptions(max_bps=1e9, start_bps=1e9, fps=1)
    assert len(wire.encode(Encoder(options, 1).encode(0, 1e9))) <= wire.MAX_FRAME_BYTES
    with pytest.raises(ValueError, match="max_bps"):
        VideoOptions(max_bps=1e12)
