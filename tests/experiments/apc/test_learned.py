"""Pairs and choosers: who gains what at equal shares, where the answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from experiments.apc.learned import compare, fit, predict, save, worth
from experiments.apc.pairs import collect, roads
from policy.api import Actions, FlowBatch
from policy.scheduler.features import COUNT
from policy.scheduler.learned import read_network


class Halving:
    """Asks for half of the estimate, instead of an LLM."""

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        bdp = batch.bandwidth_bps * batch.min_rtt_ns / 8e9 / batch.mss_bytes
        return Actions(batch.bandwidth_bps / 2, bdp + 10)


def test_pairs_differ_by_one_second_of_the_other_policy() -> None:
    found = roads(range(1, 2), 4)
    columns = collect(found, 4, Halving())  # type: ignore[arg-type]
    links = len(found.trace)
    assert columns["gain"].shape == (links,)  # of one second, the one from 2 to 3 s
    assert columns["state"].shape == (links, COUNT)
    # Half of the rate for a second of the two is a loss, on most links.
    assert np.median(columns["gain"]) < -0.1


def test_the_most_gain_is_chosen_first() -> None:
    gain = np.array([0.1, 0.4, -0.2, 0.3])
    assert worth(gain, gain, 0.5).tolist() == [0, 0.4, 0, 0.3]
    assert worth(-gain, gain, 0.25).tolist() == [0, 0, -0.2, 0]


def test_a_gain_that_the_state_tells_is_learnt_and_saved(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    state = random.normal(size=(400, COUNT))
    gain = np.where(state[:, 0] > 0, 0.5, -0.3)
    network = fit(state, gain)
    assert np.corrcoef(predict(network, state), gain)[0, 1] > 0.8
    save(tmp_path / "net.json", network, {"pairs": 400})
    again = read_network(json.loads((tmp_path / "net.json").read_text()), "net.json")
    np.testing.assert_allclose(predict(again, state), predict(network, state), atol=1e-3)


def test_chance_rules_and_oracle_stand_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    state = random.normal(size=(300, COUNT))
    gain = 0.4 * state[:, 0] + 0.05 * random.normal(size=300)
    pairs = {
        "gain": gain,
        "state": state,
        "difficulty": random.normal(size=300),
        "difficult": random.random(300) < 0.3,
        "trace": np.array([f"t{k % 10}" for k in range(300)]),
    }
    monkeypatch.setattr("experiments.apc.learned.RESAMPLES", 50)
    share, chance, rules, learned, oracle, closed = compare(pairs)[2]
    assert share == "20%"
    values = [float(cell.split(" ")[0]) for cell in (chance, rules, learned, oracle)]
    assert max(values[:2]) < 0.5 * values[2]
    assert values[2] <= values[3]
    assert float(closed.split(" ")[0]) > 0.8
