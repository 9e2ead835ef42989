"""Generators: the same seed gives the same trace, each one does what it says, and the fit finds
what it was given.
"""

from __future__ import annotations

import numpy as np
import pytest

from traces import Trace, TraceError
from traces.bundled import index
from traces.generators import GENERATORS, generate
from traces.generators.cellular import fitted_models
from traces.generators.markov import MarkovModel, fit
from traces.generators.packets import with_bursts
from traces.library import load
from traces.statistics import describe, rates_bps

S = 1_000_000_000


def columns(trace: Trace) -> dict[str, np.ndarray]:
    part = trace.steps or trace.opportunities
    return {name: column for name, column in vars(part).items() if column is not None}


@pytest.mark.parametrize("name", GENERATORS)
def test_seeded(name: str) -> None:
    once, again = generate(name, 5, 20), generate(name, 5, 20)
    assert once.period_ns == 20 * S
    for key, column in columns(once).items():
        np.testing.assert_array_equal(column, columns(again)[key])
    if name not in ("constant", "steps"):
        assert once.total_bytes != generate(name, 6, 20).total_bytes


@pytest.mark.parametrize("name", index())
def test_bundled_traces_can_be_made_again(name: str) -> None:
    bundled, made = load(name), index()[name].regenerate()
    assert bundled.name == made.name == name
    assert bundled.period_ns == made.period_ns
    assert columns(bundled).keys() == columns(made).keys()
    for key, column in columns(made).items():
        np.testing.assert_allclose(columns(bundled)[key], column, rtol=1e-9)


def test_bundled_set_is_small() -> None:
    assert sum(entry.path.stat().st_size for entry in index().values()) < 200_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope", 1, 10), "no trace generator 'nope'"),
        (("lte", -1, 10), "seed"),
        (("lte", 1, 0), "duration"),
        (("lte", 1, float("nan")), "duration"),
        (("lte", 1, 10, {"scenario": "flying"}), "generator lte: parameter scenario"),
        (("constant", 1, 10, {"rate": 5}), "unknown parameter 'rate'; .*known: rate_mbps"),
        (("constant", 1, 10, {"rate_mbps": float("inf")}), "rate_mbps"),
        (("steps", 1, 10, {"levels_mbps": [0, 0]}), "zero throughout"),
        (("wifi", 1, 10, {"busy_share": 2}), "busy_share"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        generate(*arguments)


def test_steps_cycle() -> None:
    trace = generate("steps", 1, 25, {"levels_mbps": [3, 1], "step_s": 10})
    assert columns(trace)["capacity_bps"].tolist() == [3e6, 1e6, 3e6]
    assert columns(trace)["start_ns"].tolist() == [0, 10 * S, 20 * S]


def test_outages_have_the_asked_share() -> None:
    trace = generate("outages", 1, 5000, {"rate_mbps": 10, "up_mean_s": 4, "down_mean_s": 1})
    assert set(columns(trace)["capacity_bps"]) == {0, 10e6}
    assert trace.mean_bps() == pytest.approx(8e6, rel=0.05)


def test_satellite_changes_delay_every_interval_only() -> None:
    trace = generate("satellite", 1, 90, {"delay_ms": [10, 30], "gap_chance": 1})
    start_ns, delay_ns = columns(trace)["start_ns"], columns(trace)["delay_ns"]
    changes = start_ns[1:][np.diff(delay_ns) != 0]
    assert (changes % (15 * S) == 0).all()
    assert len(changes) == 5
    assert delay_ns.min() >= 10e6
    assert delay_ns.max() <= 30e6
    gaps = start_ns[columns(trace)["capacity_bps"] == 0]
    assert gaps.tolist() == [15 * S * k for k in range(1, 6)]


def test_wifi_stays_on_the_ladder() -> None:
    trace = generate("wifi", 1, 600, {"busy_share": 0, "stall": 0, "efficiency": 1, "streams": 2})
    assert set(columns(trace)["capacity_bps"] / 2e6) == {6.5, 13, 19.5, 26, 39, 52, 58.5, 65}


def test_mean_can_be_asked_for() -> None:
    trace = generate(
        "lte", 1, 20_000, {"scenario": "city", "mean_mbps": 10, "opportunities": False}
    )
    assert trace.mean_bps() == pytest.approx(10e6, rel=0.1)


@pytest.mark.parametrize("name", fitted_models())
def test_fitted_models_generate_their_own_mean(name: str) -> None:
    model = fitted_models()[name]
    rates = model.rates_mbps(100_000, np.random.Generator(np.random.PCG64(2)))
    assert rates.mean() == pytest.approx(model.mean_mbps(), rel=0.08)
    assert (rates == 0).mean() == pytest.approx(model.stationary()[0], abs=0.01)


def test_fit_finds_the_model_that_made_the_data() -> None:
    given = MarkovModel(
        source="made up",
        smoothing_s=1,
        levels_mbps=(0.0, 4.0, 12.0),
        log_std=(0.0, 0.1, 0.1),
        log_autocorrelation=0.0,
        transitions=((0.5, 0.5, 0.0), (0.05, 0.85, 0.1), (0.0, 0.1, 0.9)),
    )
    rates = given.rates_mbps(50_000, np.random.Generator(np.random.PCG64(3)))
    # The levels take the same share of time; where it is not quite so in the sample, the fit mixes
    # them a little.
    found = fit([rates], states=2, smoothing_s=1, source="test")
    again = found.rates_mbps(50_000, np.random.Generator(np.random.PCG64(4)))
    was, now = (describe([series * 1e6], S) for series in (rates, again))
    assert now.mean_bps == pytest.approx(was.mean_bps, rel=0.05)
    assert now.std_bps == pytest.approx(was.std_bps, rel=0.1)
    assert now.outage_share == pytest.approx(was.outage_share, abs=0.01)
    assert now.outage_mean_s == pytest.approx(was.outage_mean_s, rel=0.1)
    assert now.autocorrelation[1] == pytest.approx(was.autocorrelation[1], abs=0.1)


def test_bursts_carry_the_rate_with_the_asked_dispersion() -> None:
    steady = generate("constant", 1, 400, {"rate_mbps": 6})
    trace = with_bursts(steady, 1.7, np.random.Generator(np.random.PCG64(1)))
    assert trace.mean_bps() == pytest.approx(6e6, rel=0.02)
    packets = rates_bps(trace, 20_000_000) * 0.02 / 12_000
    # Compound Poisson with geometric bursts of mean m: variance / mean = 2m - 1.
    assert packets.var() / packets.mean() == pytest.approx(2 * 1.7 - 1, rel=0.1)
    assert trace.opportunities is not None
    assert (trace.opportunities.at_ns % 1_000_000 == 0).all()
    assert trace.opportunities.at_ns[-1] == trace.period_ns


@pytest.mark.parametrize("generator", ["lte", "wifi", "5g-mmwave", "satellite", "outages"])
def test_durations_are_bounded_before_memory_is_asked_for(generator: str) -> None:
    with pytest.raises(TraceError, match="the most is"):
        generate(generator, 1, 2390 * 3600)
