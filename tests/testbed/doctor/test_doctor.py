import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from testbed.cli.doctor import doctor
from testbed.doctor import PROBES, Finding, kernel, machine, network, software


def show(
    monkeypatch: pytest.MonkeyPatch, *findings: Finding, json_: bool = False
) -> tuple[int, str]:
    monkeypatch.setattr("testbed.cli.doctor.examine", lambda: list(findings))
    result = CliRunner().invoke(doctor, ["--json"] if json_ else [])
    return result.exit_code, result.output


GOOD = Finding("good", "ok", "there")
OPTIONAL = Finding("netem", "missing", "not there", "no tc links", "modprobe sch_netem")
ESSENTIAL = Finding(
    "mnexec", "missing", "not on PATH", "no hosts", "apt-get install mininet", essential=True
)
SLOW = Finding("timer", "limited", "late", "late packets", "stop other work", essential=True)


def test_only_an_essential_gap_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = show(monkeypatch, GOOD, OPTIONAL, SLOW)
    assert status == 0
    assert "can run here" in text
    status, text = show(monkeypatch, GOOD, ESSENTIAL)
    assert status == 1
    assert "cannot run here: mnexec" in text


def test_says_cost_and_remedy_of_what_is_missing_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = show(monkeypatch, GOOD, OPTIONAL)
    assert "netem: no tc links." in text
    assert "modprobe sch_netem" in text
    assert "good:" not in text


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = show(monkeypatch, ESSENTIAL, json_=True)
    data = json.loads(text)
    assert status == 1
    assert data["main_job"] is False
    assert data["findings"][0]["remedy"] == "apt-get install mininet"


@pytest.mark.root
@pytest.mark.parametrize(
    "probe", PROBES, ids=lambda probe: getattr(probe, "__name__", None) or str(probe.args[0])
)
def test_probes_answer_and_say_what_to_do(probe: Callable[[], Finding]) -> None:
    finding = probe()
    assert finding.name
    assert finding.detail
    assert finding.state == "ok" or (finding.cost and finding.remedy)


@pytest.mark.root
def test_finds_what_the_kernel_has_not() -> None:
    assert network.qdisc("nonesuch", {}, "nothing").state == "missing"
    assert network.congestion_controller("nonesuch", "nothing").state == "missing"
    assert software.tool("no-such-program", "no-such-package", "nothing").state == "missing"
    assert network.congestion_controller("reno", "nothing").state == "ok"  # every kernel has it
    assert software.tool("sh", "dash", "nothing").state == "ok"


def test_reads_capabilities() -> None:
    everything = "Name:\tx\nCapEff:\t000001fffeffffff\n"
    assert kernel.effective_capabilities(everything) == set(kernel._CAPABILITIES)
    assert kernel.effective_capabilities("CapEff:\t0000000000001000\n") == {"CAP_NET_ADMIN"}


def test_sleeping_is_never_early() -> None:
    assert min(machine.sleep_lateness_ns(count=5)) >= 0
