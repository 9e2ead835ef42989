"""Thresholds that adapt beside static ones, under five stresses in simulated time.

    python -m experiments.apc.adaptive

Every stress is played with each scheduler over the same seeds. `gain` is the sum of the model's
gain over the rule policy, of the windows that the model answered in time, as a share of what
answering every window of positive gain would bring; intervals are paired by seed. `warm` begins
with what it learnt in a run of the steady stress, as a server does that kept its scheduler's state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from analysis.statistics import paired_difference_ci95
from experiments.apc.world import MOST_FLOWS, STRESSES, Outcome, gain, play
from experiments.congestion.output import markdown
from policy.scheduler.adaptive import AdaptiveScheduler
from policy.scheduler.base import Scheduler
from policy.scheduler.rules import RuleScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.scheduler.value import LOWEST, Value

FACTORS = (0.5, 1.0, 2.0, 4.0)
ADAPTIVE, WARM = "adaptive", "adaptive, warm"
_BEFORE = 1000
"""Seed of the run in which the warm one has learnt."""


def adaptive(seed: int) -> AdaptiveScheduler:
    """One that has learnt nothing yet."""
    return AdaptiveScheduler(MOST_FLOWS, ApcConfig(), AdaptiveConfig(), seed)


def learnt(seconds: int) -> dict[str, Any]:
    """What it has learnt after a run of the steady stress."""
    scheduler = adaptive(_BEFORE)
    play(STRESSES[0], scheduler, _BEFORE, seconds)
    return scheduler.state()


def schedulers(seed: int, state: dict[str, Any]) -> dict[str, Scheduler]:
    """Fresh ones, by name. state: of the warm one."""
    static: dict[str, Scheduler] = {
        f"× {factor:g}": RuleScheduler(MOST_FLOWS, ApcConfig().scaled(factor)) for factor in FACTORS
    }
    warm = adaptive(seed)
    warm.restore(state)
    return {**static, ADAPTIVE: adaptive(seed), WARM: warm}


def turns(levels: list[float]) -> int:
    """How often the level changed its direction."""
    moves = np.diff(levels)
    signs = np.sign(moves[np.abs(moves) > 1e-9])
    return int(np.count_nonzero(np.diff(signs)))


def figures(outcome: Outcome) -> dict[str, float]:
    """One run in numbers."""
    return {
        "gain": outcome.gained / outcome.possible,
        "by_model": outcome.by_model / outcome.windows,
        "late": outcome.late / max(outcome.by_model + outcome.late, 1),
        "first_p999_ms": float(np.percentile(outcome.first_ms, 99.9)),
        "turns": float(turns(outcome.levels)),
    }


def measure(seeds: int, seconds: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Figures by stress and scheduler, one entry for each seed."""
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    state = learnt(seconds)
    for stress in STRESSES:
        rows = results.setdefault(stress.name, {})
        for seed in range(seeds):
            for name, scheduler in schedulers(seed, state).items():
                outcome = play(stress, scheduler, seed, seconds)
                rows.setdefault(name, []).append(figures(outcome))
        click.echo(f"{stress.name}: done", err=True)
    return results


def _mean(rows: list[dict[str, float]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def table(results: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Gain by stress and scheduler, and what the adaptive thresholds did."""
    names = list(next(iter(results.values())))
    lines = []
    for stress, rows in results.items():
        lines.append((stress, *(f"{100 * _mean(rows[name], 'gain'):.1f}" for name in names)))
    means = [np.mean([_mean(rows[name], "gain") for rows in results.values()]) for name in names]
    lines.append(("all", *(f"{100 * value:.1f}" for value in means)))
    first = markdown(("gain, % of the possible", *names), lines)
    more = [
        _against_the_best(stress, rows, name)
        for name in (ADAPTIVE, WARM)
        for stress, rows in results.items()
    ]
    headings = (
        "thresholds",
        "stress",
        "gain against the best static, points",
        "LLM, % of windows",
        "LLM late, %",
        "first answer p99.9, ms",
        "turns of the level",
    )
    return f"{first}\n\n{markdown(headings, more)}\n"


def _against_the_best(
    stress: str, rows: dict[str, list[dict[str, float]]], name: str
) -> tuple[str, ...]:
    """A scheduler in a stress beside the static setting with the most gain there."""
    static = [other for other in rows if other not in (ADAPTIVE, WARM)]
    best = max(static, key=lambda other: _mean(rows[other], "gain"))
    own, other = ([row["gain"] for row in rows[which]] for which in (name, best))
    median, interval = paired_difference_ci95(own, other)
    ends = "" if interval is None else f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
    return (
        name,
        stress,
        f"{best}: {100 * median:+.1f}{ends}",
        f"{100 * _mean(rows[name], 'by_model'):.0f}",
        f"{100 * _mean(rows[name], 'late'):.2f}",
        f"{max(row['first_p999_ms'] for row in rows[name]):.1f}",
        f"{_mean(rows[name], 'turns'):.1f}",
    )


def gains(state: dict[str, Any]) -> str:
    """Gains that were learnt, by difficulty, beside the true ones at the middle of each bin."""
    value = Value()
    value.restore(state["value"])
    gain_, error = value.gain()
    known = np.flatnonzero(np.isfinite(error))
    return markdown(
        ("octaves above the thresholds", "gain learnt", "standard error", "true"),
        [
            (
                f"{LOWEST + place}",
                f"{gain_[place]:.2f}",
                f"{error[place]:.2f}",
                f"{float(gain(np.array(LOWEST + place + 0.5))):.2f}",
            )
            for place in known.tolist()
        ],
    )


@click.command(help=__doc__)
@click.option("--seeds", default=5, show_default=True)
@click.option("--seconds", default=30, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures there, as JSON.")
def main(seeds: int, seconds: int, out: Path | None) -> None:
    results = measure(seeds, seconds)
    if out is not None:
        record: dict[str, Any] = {"seeds": seeds, "seconds": seconds, "results": results}
        out.write_text(json.dumps(record, indent=1), encoding="utf-8")
    click.echo(table(results))
    click.echo(gains(learnt(seconds)))


if __name__ == "__main__":
    main()
