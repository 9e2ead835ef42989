"""Fit the cellular generators to recorded traces and print how well they match.

    scripts/fit_traces.py FOLDER [--write]

FOLDER holds the recordings: mahimahi/ATT-LTE-driving.down.gz, ghent-4g/*.json, lumos5g/{4g,5g}*.txt
(see docs/reference/trace-formats.md). The smoothing is chosen per set: the
one whose simulated autocorrelation is nearest. `--write` stores the parameters in
traces/generators/fitted.json; without it nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from traces import Trace, load
from traces.forms import Float64s
from traces.generators.base import regular_starts, steps_trace
from traces.generators.cellular import FITTED
from traces.generators.markov import STEP_NS, MarkovModel, fit
from traces.generators.packets import with_bursts
from traces.statistics import describe, rates_bps

SETS = {
    "lte-driving": ("mahimahi/ATT-LTE-driving.down.gz", "Mahimahi, ATT LTE driving, downlink"),
    "lte-city": ("ghent-4g/*.json", "Ghent 4G (van der Hooft et al. 2016)"),
    "lte-driving-fast": ("lumos5g/4g*driving*.txt", "Lumos5G 4G driving (Narayanan et al.)"),
    "lte-walking": ("lumos5g/4g*walking*.txt", "Lumos5G 4G walking (Narayanan et al.)"),
    "5g-mmwave-driving": ("lumos5g/5g*driving*.txt", "Lumos5G 5G driving (Narayanan et al.)"),
    "5g-mmwave-walking": ("lumos5g/5g*walking*.txt", "Lumos5G 5G walking (Narayanan et al.)"),
}
STATES = 8
SMOOTHINGS_S = (1, 3, 5, 7, 9)
SIMULATED_S = 200_000
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--write", action="store_true", help=f"store the parameters in {FITTED.name}"
    )
    arguments = parser.parse_args()
    models = {}
    header = (
        "mean",
        "std",
        "p5 / p50 / p95 / p99",
        "ACF 1, 2, 5, 10, 30, 60 s",
        "outages: share, mean, max",
        "std of means",
    )
    print(f"| model | Mbit/s | {' | '.join(header)} |\n|---|---|---|---|---|---|---|---|")
    for name, (pattern, source) in SETS.items():
        recordings = [load(path) for path in sorted(arguments.folder.glob(pattern))]
        if not recordings:
            raise SystemExit(f"{arguments.folder / pattern}: no such recordings")
        recorded = [rates_bps(trace, STEP_NS) for trace in recordings]
        model, simulated = best_fit(recorded, source)
        if name == "lte-driving":
            model = model.model_copy(update={"burst_packets": burst_packets(recordings[0])})
        models[name] = model
        print_row(name, "recorded", recorded)
        print_row("", f"model ({model.smoothing_s} s)", simulated)
    print_fine_scale(load(arguments.folder / SETS["lte-driving"][0]), models["lte-driving"])
    if arguments.write:
        stored = {name: model.model_dump(exclude_none=True) for name, model in models.items()}
        FITTED.write_text(
            json.dumps(stored, indent=1).replace("\n   ", " ").replace("\n  ]", "]") + "\n"
        )


def best_fit(recorded: list[Float64s], source: str) -> tuple[MarkovModel, list[Float64s]]:
    """The model, of those with different smoothing, whose autocorrelation is nearest; and what it
    generates.
    """
    wanted = np.array(list(describe(recorded, STEP_NS).autocorrelation.values()))
    best: tuple[float, MarkovModel, list[Float64s]] | None = None
    for smoothing_s in SMOOTHINGS_S:
        model = fit([rates / 1e6 for rates in recorded], STATES, smoothing_s, source)
        simulated = simulate(model, [len(rates) for rates in recorded])
        found = np.array(list(describe(simulated, STEP_NS).autocorrelation.values()))
        error = float(np.abs(found - wanted).mean())
        if best is None or error < best[0]:
            best = (error, model, simulated)
    assert best is not None
    return best[1], best[2]


def simulate(model: MarkovModel, lengths: list[int]) -> list[Float64s]:
    """Series of the recordings' lengths, repeated until there are SIMULATED_S seconds."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    repeats = -(-SIMULATED_S // sum(lengths))
    return [model.rates_mbps(length, rng) * 1e6 for _ in range(repeats) for length in lengths]


def burst_packets(recording: Trace) -> float:
    """Mean size of the recorded bursts (packets in the same millisecond)."""
    assert recording.opportunities is not None
    zero_share = float((np.diff(recording.opportunities.at_ns) == 0).mean())
    return round(1 / (1 - zero_share), 2)


def print_fine_scale(recording: Trace, model: MarkovModel) -> None:
    """Below a second: the recorded delivery opportunities against generated ones."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    duration_ns = 10 * recording.duration_ns // STEP_NS * STEP_NS
    start_ns = regular_starts(duration_ns, STEP_NS)
    rates = steps_trace("model", start_ns, model.rates_mbps(len(start_ns), rng), duration_ns)
    assert model.burst_packets is not None
    generated = with_bursts(rates, model.burst_packets, rng)
    header = (
        "window",
        "mean",
        "std",
        "autocorrelation at 0.1, 0.5, 1 s",
        "windows below 1 %",
        "gaps of 0 / >= 10 ms",
    )
    print(f"\n| lte-driving | {' | '.join(header)} |")
    print("|---|---|---|---|---|---|---|")
    for label, trace in (("recorded", recording), ("model", generated)):
        assert trace.opportunities is not None
        gaps_ms = np.diff(trace.opportunities.at_ns) // 1_000_000
        for window_ms in (20, 100):
            found = describe(
                [rates_bps(trace, window_ms * 1_000_000)], window_ms * 1_000_000, (0.1, 0.5, 1)
            )
            correlations = " ".join(f"{value:.2f}" for value in found.autocorrelation.values())
            print(
                f"| {label} | {window_ms} ms | {found.mean_bps / 1e6:.2f} | "
                f"{found.std_bps / 1e6:.2f} | {correlations} "
                f"| {found.outage_share:.1%} | {(gaps_ms == 0).mean():.1%} / "
                f"{(gaps_ms >= 10).mean():.1%} |"
            )


def print_row(name: str, label: str, series: list[Float64s]) -> None:
    found = describe(series, STEP_NS)
    rates = " / ".join(f"{found.percentiles_bps[p] / 1e6:.1f}" for p in (5, 50, 95, 99))
    correlations = " ".join(f"{value:.2f}" for value in found.autocorrelation.values())
    between = float(np.std([one.mean() for one in series])) / 1e6
    print(
        f"| {name} | {label} | {found.mean_bps / 1e6:.1f} | {found.std_bps / 1e6:.1f} | {rates} | "
        f"{correlations} "
        f"| {found.outage_share:.1%}, {found.outage_mean_s:.1f} s, {found.outage_max_s:.0f} s | "
        f"{between:.1f} |"
    )


if __name__ == "__main__":
    main()
