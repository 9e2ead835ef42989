"""The simulator's video against the testbed's own encoder, queue and jitter buffer."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from policy.tasks.congestion.simulator import (
    Bbr,
    Cubic,
    Links,
    TransportState,
    Video,
    VideoSettings,
    simulate,
)
from testbed.traffic.tcpinfo import parse
from testbed.traffic.video.adaptation import adaptation
from testbed.traffic.video.encoder import Encoder
from testbed.traffic.video.options import VideoOptions
from testbed.traffic.video.queue import FrameQueue
from testbed.units import NS_PER_MS

STEPS = 6000


def options(rule: Literal["transport", "backlog"]) -> VideoOptions:
    return VideoOptions(adaptation=rule, size_noise=0)


def test_the_settings_are_those_of_the_testbed() -> None:
    mine = dataclasses.asdict(VideoSettings())
    real = VideoOptions().model_dump()
    del real["pause_at_s"], real["pause_s"]  # pauses are not simulated
    assert {name: mine[name] for name in real} == real


@pytest.mark.parametrize("rule", ["transport", "backlog"])
def test_frames_and_skips_are_those_of_the_testbed(rule: Literal["transport", "backlog"]) -> None:
    """One flow whose socket takes a rate that changes, with an outage long enough to skip frames
    in.
    """
    rate_bps = np.repeat([2e6, 0.4e6, 6e6, 0.0, 3e6, 1e6], STEPS // 6)
    video = Video(1, STEPS, settings=VideoSettings(adaptation=rule, size_noise=0))
    backlog, made, taken = np.zeros(1), [], 0.0
    settings = options(rule)
    rule_of_testbed, encoder = adaptation(settings), Encoder(settings, 1)
    queue = FrameQueue(settings.max_frame_age_ms * NS_PER_MS, lambda frame: bytes(frame.size_bytes))
    made_by_testbed, captures = [], 0
    for step in range(STEPS):
        rate = rate_bps[step]
        state = TransportState(np.array([0]), np.array([rate]), np.array([False]), np.array([rate]))
        video.observe(state, step)
        made.append(video.produce(step, backlog)[0])
        backlog = backlog + made[-1]
        info = dataclasses.replace(
            parse(bytes(216)),
            delivery_rate_bps=rate,
            pacing_rate_bps=rate,
            srtt_ns=1,
            cwnd_packets=10**6,
            mss_bytes=1500,
        )
        rule_of_testbed.observe(step * NS_PER_MS, info)
        before = queue.backlog_bytes
        if step >= captures * 1000 // 30:
            captures += 1
            queue.skip_stale(step * NS_PER_MS)
            target = rule_of_testbed.update(
                step * NS_PER_MS, queue.backlog_bytes, sending=not queue.awaiting_keyframe
            )
            queue.add(encoder.encode(step * NS_PER_MS, target))
        made_by_testbed.append(queue.backlog_bytes - before)
        taken += rate / 8e3
        sent = min(int(taken), int(backlog[0]), queue.backlog_bytes)
        taken = min(taken - sent, 1500.0)
        backlog = backlog - sent
        while sent:
            data, _ = queue.begin()
            part = min(sent, len(data))
            queue.written(data, part)
            sent -= part
    assert min(made) < 0  # frames were skipped
    assert np.cumsum(made) == pytest.approx(np.cumsum(made_by_testbed), rel=0.02, abs=2000)


def test_what_is_displayed_by_hand() -> None:
    """Three frames of 1000 bytes; the second arrives 350 ms late."""
    video: Any = SimpleNamespace(
        _s=VideoSettings(), _captures=3, _captured=np.array([0, 33, 66]),
        _start=np.array([[0.0], [1000], [2000]]), _end=np.array([[1000.0], [2000], [3000]]),
    )  # fmt: skip
    arrived = np.zeros((1000, 1))
    arrived[20:] = 1000
    arrived[450:] = 3000
    shown = Video.shown(video, arrived)
    # Displayed at 100, then both others at 450, then nothing to the end at 1000.
    assert shown.stall_100ms[0] == shown.stall_200ms[0] == 1.0
    assert shown.stall_500ms[0] == pytest.approx(550 / 900)
    assert shown.bitrate_bps[0] == pytest.approx(3000 * 8 / 0.9)
    assert shown.on_time_bps[0] == pytest.approx(1000 * 8)


@pytest.mark.parametrize("controller", [Cubic, Bbr])
def test_video_uses_a_constant_link_without_stalls(controller: type[Cubic] | type[Bbr]) -> None:
    links = Links(np.full((10_000, 1), 4e6), np.array([40]), np.array([4 * 4e6 * 0.04 / 8]))
    video = Video(1, 10_000)
    outcome = simulate(links, controller(1), 0, video)
    shown = video.shown(outcome.delivered_bytes.cumsum(axis=0))
    assert shown.bitrate_bps[0] > 0.75 * 4e6
    assert shown.stall_200ms[0] < 0.02
