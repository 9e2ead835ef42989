"""What a run compares when it was not told."""

from __future__ import annotations

import pytest

from testbed.run import default
from testbed.scenario import parse_scenario


@pytest.fixture
def impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"ebpf": "no BTF", "portable": "no TCP_INFO"}
    monkeypatch.setattr("agent.datapath.unavailable", lambda: reasons)


@pytest.fixture
def possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.datapath.unavailable", lambda: {"ebpf": "no BTF", "portable": None})


@pytest.mark.usefixtures("possible")
def test_the_policy_beside_bbr_and_cubic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "find_spec", lambda name: name == "onnxruntime")
    scenario, reason = default.as_this_machine_can(parse_scenario({}, "test"))
    assert (scenario.cc, reason) == (("policy", "bbr", "cubic"), "")


@pytest.mark.usefixtures("impossible")
def test_without_a_datapath_the_others_run_and_the_reason_is_told() -> None:
    scenario, reason = default.as_this_machine_can(parse_scenario({"rtt": "50ms"}, "test"))
    assert scenario.cc == ("bbr", "cubic")
    assert scenario.rtt_ns == 50_000_000
    assert reason == "no BTF; no TCP_INFO"


@pytest.mark.usefixtures("possible")
def test_without_an_engine_only_a_foreign_server_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "find_spec", lambda name: None)
    scenario, reason = default.as_this_machine_can(parse_scenario({}, "test"))
    assert scenario.cc == ("bbr", "cubic")
    assert "onnxruntime" in reason
    elsewhere = parse_scenario({"policy_server": "unix:/tmp/p.sock"}, "test")
    assert default.as_this_machine_can(elsewhere) == (elsewhere, "")


@pytest.mark.usefixtures("impossible")
def test_what_was_asked_for_by_name_stays() -> None:
    asked = parse_scenario({"cc": "policy,bbr"}, "test")
    assert default.as_this_machine_can(asked) == (asked, "")
