"""A session that a player measures decides as the simulated one does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.measured import check_live, measured, record, set_buffer
from policy.tasks.abr.network import Model
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video, manifest_text, parse_video

RATES = np.array([300.0, 900.0, 2700.0])
VIDEO = Video("v", 2000, RATES, np.outer(np.linspace(0.8, 1.2, 30), RATES * 250))


@pytest.mark.parametrize("rule", ["rate", "bba", "bola", "dynamic", "mpc", "robust-mpc"])
@given(rates=st.lists(st.floats(0.2, 6), min_size=20, max_size=40))
def test_a_rule_decides_alike_on_what_a_player_measured(rule: str, rates: list[float]) -> None:
    trace = Bandwidth("t", np.arange(len(rates) + 0.0), np.array(rates))
    simulated = start(VIDEO, pack([trace]), model=Model.SESSION, rtt_ms=40, start_level=1)
    live = measured(VIDEO, qoe_of(VIDEO))
    state = simulated.state
    first, second = make_rule(rule), make_rule(rule)
    for chunk in range(VIDEO.chunks - 1):
        record(
            live,
            int(state.level[0]),
            state.size_bits[0, -1] / 8,
            float(state.download_ms[0, -1]),
            float(state.latency_ms[0, -1]),
        )
        set_buffer(live, float(state.buffer_ms[0]))
        if chunk == 0:
            first.begin(simulated)
            second.begin(live)
        level = first.decide(simulated)
        # A chunk that is there after one round trip has its latency cut: estimators divide by it.
        if state.download_ms[0, -1] > 45:
            assert second.decide(live) == level
        simulated.step(level)


def test_values_out_of_range_are_refused() -> None:
    live = measured(VIDEO, qoe_of(VIDEO))
    with pytest.raises(PolicyError, match="level 3"):
        record(live, 3, 1.0, 1.0, 0.0)
    with pytest.raises(PolicyError, match="must be positive"):
        record(live, 0, 1.0, 0.0, 0.0)
    with pytest.raises(PolicyError, match="buffer of nan"):
        set_buffer(live, float("nan"))


def test_an_oracle_cannot_play_live() -> None:
    with pytest.raises(PolicyError, match="beforehand"):
        check_live(make_rule("oracle-mean"), "oracle-mean")


def test_a_manifest_is_read_as_it_was_written() -> None:
    again = parse_video(manifest_text(VIDEO), "text")
    np.testing.assert_allclose(again.sizes_bytes, VIDEO.sizes_bytes)
    assert again.chunk_ms == VIDEO.chunk_ms
    with pytest.raises(PolicyError, match="there: not JSON"):
        parse_video("[" * 100_000, "there")
