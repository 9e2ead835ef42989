"""Whether a live cluster and the simulator agree on which scheduler is better."""

from __future__ import annotations

from dataclasses import replace

from analysis.metrics.jobs import JobsMetrics
from analysis.metrics.percentiles import percentiles_ms
from experiments.cjs.live import Pair, across, agreement


def pair(place: str, repeat: int, scheduler: str, live_s: float, simulated_s: float) -> Pair:
    spread = percentiles_ms([1e6])
    live = JobsMetrics(
        jct_mean_s=live_s, jct_p95_s=live_s, transfer_share=0, jobs=1, done_share=1, makespan_s=1,
        tasks_lost=0, remote_mbytes=0, fetch_ms=spread, lateness_ms=spread, policy_share=0,
        fallback_share=0, decision_ms=spread,
    )  # fmt: skip
    return Pair(place, repeat, scheduler, live, simulated_s)


def test_only_the_same_jobs_are_compared() -> None:
    pairs = [
        pair("run", 0, "fair", 2.0, 1.9),
        pair("run", 0, "fifo", 3.0, 2.9),
        pair("run", 0, "cap", 2.1, 1.8),  # before fair in the simulator, behind it live
        pair("run", 1, "fair", 9.0, 9.0),
        pair("other", 1, "fifo", 1.0, 1.0),
    ]
    assert agreement(pairs) == (2, 3)
    assert pairs[0].ratio == 2.0 / 1.9


def test_controllers_and_schedulers_are_paired_across_runs_by_link_and_jobs() -> None:
    def on(link: str, seed: int, cc: str, scheduler: str, live_s: float) -> Pair:
        one = pair(f"run {cc}", 0, scheduler, live_s, 1.0)
        return replace(one, cc=cc, link_and_seed=(link, seed))

    pairs = [
        on("lte", 1, "cubic", "fair", 10.0),
        on("lte", 2, "cubic", "fair", 20.0),
        on("lte", 1, "policy", "policy", 8.0),
        on("lte", 2, "policy", "policy", 20.0),
        on("lte", 3, "policy", "policy", 1.0),  # without fair
        on("wire", 1, "policy", "policy", 1.0),  # another link
    ]
    assert across(pairs, "cubic+fair") == [
        "lte: policy+policy / cubic+fair: 0.900, 2 pairs, 14.00 and 15.00 s"
    ]
    assert across(pairs, "bbr+fair") == []
