"""What the tree's experiment is made of, with a policy that needs no model."""

from __future__ import annotations

import numpy as np

from experiments.apc.tree import RTTS_MS, TRACES, Recorder, driven, links
from policy.api import Actions, FlowBatch
from policy.explain.readable import READABLE


class Keeping:
    """Asks for the estimate."""

    def outputs(self, batch: FlowBatch) -> np.ndarray:
        return np.zeros(len(batch), np.float32)

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        bdp = batch.bandwidth_bps * batch.min_rtt_ns / 8e9 / batch.mss_bytes
        return Actions(batch.bandwidth_bps, bdp + 10)


def test_traces_that_fit_and_that_judge_are_different() -> None:
    assert not set(TRACES[::2]) & set(TRACES[1::2])


def test_every_window_of_every_link_is_recorded() -> None:
    recorder = Recorder(Keeping())  # type: ignore[arg-type]
    outcome = driven(recorder, TRACES[:2], seconds=3)
    flows = 2 * len(RTTS_MS)
    assert links(TRACES[:2], 3).capacity_bps.shape == (3000, flows)
    assert np.concatenate(recorder.features).shape == (30 * flows, len(READABLE))
    assert len(np.concatenate(recorder.actions)) == 30 * flows
    assert (outcome.utilisation > 0).all()
