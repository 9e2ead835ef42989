"""What a run compares when it was not told: the policy beside bbr and cubic, if it can run here."""

from __future__ import annotations

from importlib.util import find_spec

from testbed.controllers.registry import parse
from testbed.scenario import Scenario


def as_this_machine_can(scenario: Scenario) -> tuple[Scenario, str]:
    """The scenario, without the policy where nobody asked for it by name and it cannot run; and the
    reason, or "".
    """
    if "cc" in scenario.model_fields_set:
        return scenario, ""
    reason = _no_policy(scenario)
    if reason is None:
        return scenario, ""
    left = tuple(name for name in scenario.cc if parse(name).kind != "policy")
    return scenario.model_copy(update={"cc": left}), reason


def _no_policy(scenario: Scenario) -> str | None:
    from agent.datapath import unavailable

    reasons = unavailable()
    if None not in reasons.values():
        return "; ".join(str(reason) for reason in reasons.values())
    engines = ("onnxruntime", "torch")
    if scenario.policy_server is None and not any(find_spec(name) for name in engines):
        return "nothing here runs its model; pip install onnxruntime"
    return None
