"""Whether a policy's column holds that policy: what controlled the flow, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.metrics.decisions import LLM_TIER
from analysis.run import Cell
from analysis.schema import CellMetrics

LOCAL_SHARE = 0.02  # of the answers, by the agent's own fallback
MISSED_SHARE = 0.02  # of the windows that should have been answered
KERNEL_S = 0.1  # under the kernel's control after the first decision: one window


def policy_warnings(cell: Cell, flows: Sequence[CellMetrics]) -> list[str]:
    """Why a cell that is called after a policy says little about it. flows: its measured flows."""
    if not cell.is_policy:
        return []
    name = cell.folder.name
    found = [text for flow in flows for text in _flow_warnings(flow, several=len(flows) > 1)]
    return [f"{name}: {text}" for text in [*found, *_agent_warnings(cell, flows)]]


def _flow_warnings(metrics: CellMetrics, *, several: bool) -> list[str]:
    decisions = metrics.decisions
    where = f"flow {metrics.flow}: " if several else ""
    if decisions is None or not decisions.decisions:
        return [f"{where}no decision reached the flow; the kernel's algorithm controlled it"]
    found = []
    if decisions.local_share > LOCAL_SHARE:
        found.append(
            f"{where}{decisions.local_share:.0%} of the answers were the agent's own fallback, not "
            "the policy's"
        )
    if decisions.deadline_miss_rate > MISSED_SHARE:
        found.append(
            f"{where}{decisions.deadline_miss_rate:.0%} of the {decisions.expected_windows} "
            "windows had no answer in time"
        )
    if decisions.kernel_s > KERNEL_S:
        found.append(
            f"{where}the kernel's algorithm controlled it for {decisions.kernel_s:.1f} s after the "
            "first decision"
        )
    return found


def _agent_warnings(cell: Cell, flows: Sequence[CellMetrics]) -> list[str]:
    agent = cell.record.agent or {}
    found = []
    if refused := _count(agent.get("refused_flows")):
        found.append(f"{refused} flows found no slot; the kernel's algorithm controlled them")
    if dropped := _count(agent.get("dropped_records")):
        found.append(f"{dropped} records were lost on the way to the agent")
    because = agent.get("tcpinfo_because") or agent.get("portable_because")
    if because:
        found.append(f"the tcpinfo datapath stood in for eBPF, which could not be had: {because}")
    answered = {tier for flow in flows if flow.decisions for tier in flow.decisions.tiers}
    if agent.get("policy") == "apc" and agent.get("difficult_tier") == "":
        found.append("the light policy decided alone: the server had no model for difficult flows")
    elif (
        cell.record.cc == "policy"
        and answered
        and not agent.get("difficult_tier", LLM_TIER in answered)
    ):
        found.append("no answer came from the LLM: the light policy decided alone")
    return found


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
