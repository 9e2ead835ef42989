"""Sessions as tensors against the compiled ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from policy.tasks.abr.tensor_observation import observe  # noqa: E402
from policy.tasks.abr.tensors import TensorTraces, start_tensors  # noqa: E402

LADDER = np.array([300.0, 750.0, 1200.0])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    model=st.sampled_from([Model.PENSIEVE, Model.SESSION]),
    cap_ms=st.sampled_from([60_000.0, 12_000.0]),
)
def test_every_step_is_that_of_compiled_sessions(seed, model, cap_ms):
    rng = np.random.default_rng(seed)
    chunks, n = 30, 6
    video = Video("test", 4000, LADDER, LADDER * 500 * rng.uniform(0.7, 1.3, (chunks, 3)))
    traces = []
    for k in range(3):
        # Outages, starts after 0, and traces far shorter than the video.
        rates = np.where(rng.random(40) < 0.2, 0.0, rng.uniform(0.1, 3.0, 40))
        times = rng.uniform(0, 2) + np.concatenate([[0.0], np.cumsum(rng.uniform(0.2, 2.0, 39))])
        traces.append(Bandwidth(f"t{k}", times, rates))
    packed = pack(traces)
    arguments = {
        "trace": rng.integers(0, 3, n),
        "start_sample": rng.integers(1, 39, n),
        "scale": rng.uniform(0.5, 2, n),
        "rtt_ms": rng.uniform(0, 200, n),
        "start_level": rng.integers(0, 3, n),
    }
    one = start(video, packed, model=model, buffer_cap_ms=cap_ms, **arguments)
    other = start_tensors(
        video, TensorTraces(packed), qoe_of(video), model=model, buffer_cap_ms=cap_ms, **arguments
    )
    while not one.done:
        levels = rng.integers(0, 3, n)
        step = one.step(levels)
        reward = other.step(torch.as_tensor(levels)).numpy()
        assert reward == pytest.approx(step.reward, abs=1e-6)
        assert other.state.buffer_ms.numpy() == pytest.approx(one.state.buffer_ms, abs=1e-3)
        assert other.state.download_ms.numpy()[:, -1] == pytest.approx(step.download_ms, abs=1e-3)


def test_branches_are_independent():
    video = Video("test", 4000, LADDER, np.tile(LADDER * 500, (5, 1)))
    traces = TensorTraces(pack([Bandwidth("t", np.arange(101.0), np.full(101, 1.0))]))
    zeros = np.zeros(1, np.int64)
    sessions = start_tensors(
        video,
        traces,
        qoe_of(video),
        model=Model.PENSIEVE,
        trace=zeros,
        start_sample=zeros + 1,
        scale=np.ones(1),
        rtt_ms=np.zeros(1),
        start_level=zeros,
    )
    copies = sessions.branched(3)
    copies.step(torch.tensor([0, 1, 2]))
    assert sessions.chunk.tolist() == [1]
    assert copies.state.download_ms[:, -1].diff().min() > 0
    with pytest.raises(PolicyError, match="pensieve and session only"):
        start_tensors(
            video,
            traces,
            qoe_of(video),
            model=Model.TCP,
            trace=zeros,
            start_sample=zeros + 1,
            scale=np.ones(1),
            rtt_ms=np.zeros(1),
            start_level=zeros,
        )


def test_sessions_at_different_chunks_go_on_together_as_they_would_apart():
    rng = np.random.default_rng(3)
    video = Video("test", 4000, LADDER, LADDER * 500 * rng.uniform(0.5, 1.5, (9, 3)))
    traces = TensorTraces(pack([Bandwidth("t", np.arange(99.0), rng.uniform(0.2, 3, 99))]))
    early = start_tensors(
        video,
        traces,
        qoe_of(video),
        model=Model.PENSIEVE,
        trace=np.zeros(2, np.int64),
        start_sample=np.array([1, 40]),
        scale=np.ones(2),
        rtt_ms=np.full(2, 80.0),
        start_level=np.zeros(2, np.int64),
    )
    late = early.branched(1)
    for level in (2, 0, 1):
        late.step(torch.full((2,), level))
    together = early.joined([late])
    seen = observe(together)
    apart = [observe(early), observe(late)]
    assert all(torch.equal(seen[k], torch.cat([one[k] for one in apart])) for k in (0, 1))
    assert together.chunks_left == early.chunks_left == late.chunks_left + 3
    total = torch.zeros(4)
    while not together.done:
        total = total + together.step(together.chunk % 3)
    alone = []
    for one in (early, late):
        earned = torch.zeros(2)
        while not one.done:
            earned = earned + one.step(one.chunk % 3)
        alone.append(earned)
    # What goes on after the end of its video earns nothing more.
    assert torch.allclose(total, torch.cat(alone))
