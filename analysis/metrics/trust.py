"""Whether a policy's column holds that policy: what controlled the flow, and for how long, or chose
its levels, or placed its jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.metrics.decisions import LLM_TIER
from analysis.metrics.schema import CellMetrics, Doubt
from analysis.run import Cell

LOCAL_SHARE = 0.02  # of the answers, by the agent's own fallback
MISSED_SHARE = 0.02  # of the windows that should have been answered
KERNEL_S = 0.1  # under the kernel's control after the first decision: one window

# For a heading, and a sentence.
_Found = Iterator[tuple[str, str]]


def policy_doubts(cell: Cell, flows: Sequence[CellMetrics]) -> list[Doubt]:
    """Why a cell that is called after a policy, of whatever task, says little about it, the gravest
    first. flows: its measured flows.
    """
    kinds = [_of_flow, _of_requests] if cell.is_policy else [_of_requests]
    found = [
        (short, f"flow {flow.flow}: {text}" if len(flows) > 1 else text)
        for doubts in kinds
        for flow in flows
        for short, text in doubts(flow)
    ]
    if cell.is_policy:
        found += _of_agent(cell, flows)
    return [
        Doubt(cell=cell.folder.name, cc=cell.cc, short=short, text=text) for short, text in found
    ]


def _of_flow(metrics: CellMetrics) -> _Found:
    decisions = metrics.decisions
    if decisions is None or not decisions.decisions:
        yield (
            "the kernel alone",
            "no decision reached the flow; the kernel's algorithm controlled it",
        )
        return
    if decisions.local_share > LOCAL_SHARE:
        share = f"{decisions.local_share:.0%}"
        yield (
            f"{share} fallback",
            f"{share} of the answers were the agent's own fallback, not the policy's",
        )
    if decisions.kernel_s > KERNEL_S:
        yield (
            f"the kernel for {decisions.kernel_s:.1f} s",
            f"the kernel's algorithm controlled it for {decisions.kernel_s:.1f} s after the first "
            "decision",
        )
    # Between its transfers a web flow has no connection, and so no windows.
    if metrics.kind != "web" and decisions.deadline_miss_rate > MISSED_SHARE:
        share = f"{decisions.deadline_miss_rate:.0%}"
        yield (
            f"{share} unanswered in time",
            f"{share} of the {decisions.expected_windows} windows had no answer in time",
        )


def _of_requests(metrics: CellMetrics) -> _Found:
    for what, one in (("levels", metrics.dash), ("placements", metrics.jobs)):
        own, instead = (one.policy_share or 0.0, one.fallback_share or 0.0) if one else (0.0, 0.0)
        if instead > LOCAL_SHARE * (own + instead):
            share = f"{instead / (own + instead):.0%}"
            yield (
                f"{share} fallback",
                f"{share} of the {what} that the policy was asked for were the fallback's; why it "
                "did not answer may stand in a log of the cell's folder",
            )


def _of_agent(cell: Cell, flows: Sequence[CellMetrics]) -> _Found:
    agent = cell.record.agent or {}
    if refused := _count(agent.get("refused_flows")):
        yield (
            "no slot",
            f"{refused} flows found no slot; the kernel's algorithm controlled them",
        )
    if because := agent.get("tcpinfo_because") or agent.get("portable_because"):
        yield (
            "tcpinfo datapath",
            f"the tcpinfo datapath stood in for eBPF, which could not be had: {because}",
        )
    shared = cell.record.cc.partition("@")[0] == "policy"  # by APC between a rule and the LLM
    if shared and agent.get("difficult_tier") == "":
        yield (
            "light policy alone",
            "the light policy decided alone: the server had no model for difficult flows",
        )
    elif shared and "difficult_tier" not in agent and _without_llm(flows):
        yield "light policy alone", "no answer came from the LLM: the light policy decided alone"
    if dropped := _count(agent.get("dropped_records")):
        yield "records lost", f"{dropped} records were lost on the way to the agent"


def _without_llm(flows: Sequence[CellMetrics]) -> bool:
    """Whether there were answers, none of them of the LLM."""
    answered = {tier for flow in flows if flow.decisions for tier in flow.decisions.tiers}
    return bool(answered) and LLM_TIER not in answered


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
