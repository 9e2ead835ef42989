"""The latencies that virtual time assumes where the user gives none."""

from __future__ import annotations

from pathlib import Path

from agent.config import AgentConfig
from policy.registry import names
from testbed.controllers.latency import measured


def test_what_was_measured_is_what_an_agent_takes() -> None:
    found = measured()
    config = AgentConfig.model_validate(
        {"cc_name": "x", "log_dir": Path(), "inline": Path("x"), "latency_ns": found}
    )
    assert set(config.latency_ns) <= set(names())
    assert {"persistence", "llm", "gcc"} <= set(config.latency_ns)


def test_quantiles_ascend() -> None:
    for of_batches in measured().values():
        for quantiles in of_batches.values():
            assert quantiles == sorted(quantiles)
            assert quantiles[-1] < 10**9
