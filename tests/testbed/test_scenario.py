"""Flags and YAML are one typed thing; mistakes are named by file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from testbed.buffer import Buffer
from testbed.errors import UserError
from testbed.links.impairments import Loss
from testbed.loss import format_loss, parse_loss
from testbed.mappings import read_yaml, set_key
from testbed.scenario import parse_scenario


@given(
    rtt_ms=st.integers(1, 500),
    flows=st.integers(1, 8),
    buffer=st.sampled_from(["2bdp", "0.5bdp", "60kB", "123456B"]),
    loss=st.sampled_from(["none", "0.5%", "ge:1%,30%", "ge:0.01,0.3,0.8,0.001"]),
    rate=st.sampled_from([None, "12mbit", "1234567bit"]),
)
def test_yaml_round_trip(rtt_ms: int, flows: int, buffer: str, loss: str, rate: str | None) -> None:
    data = {"rtt": f"{rtt_ms}ms", "flows": flows, "buffer": buffer, "loss": loss}
    scenario = parse_scenario(data | ({"rate": rate} if rate else {}), "flags")
    assert parse_scenario(yaml.safe_load(scenario.to_yaml()), "printed") == scenario


def test_a_rate_takes_the_place_of_the_default_trace() -> None:
    assert parse_scenario({"rate": "12mbit"}, "flags").trace is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"rtt": 40}, "rtt: 40 is not a duration"),
        ({"rtt": "40"}, "rtt: '40' is not a duration"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"rate": "1mbit", "trace": "lte-driving"}, "a trace or a rate"),
        ({"cc": "bbr,bbr"}, "named twice"),
        ({"flows": 0}, "flows"),
        ({"buffer": "2x"}, "buffer: '2x'"),
        ({"buffer": "10B"}, "a buffer is between"),
        ({"queue": "red"}, "queue"),
        ({"loss": "150%"}, "loss"),
        ({"loss": "ge:1%,0%"}, "never left"),
        ({"duration": "10ms"}, "too short"),
        ({"rtt": "9s"}, "rtt"),
        ({"sysctls": {"kernel.panic": 1}}, "sysctls"),
        ({"sysctls": {"net.ipv4.tcp_ecn": "1; reboot"}}, "sysctls"),
        ({"cross_traffic": [{"pair": -1}]}, "cross_traffic.0.pair"),
    ],
)
def test_mistakes_are_named(data: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_scenario(data, "s.yaml")
    assert str(raised.value).startswith("s.yaml: ")
    assert words in str(raised.value)


def test_malformed_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("rtt: 40ms\ncc: [bbr\nflows: 2\n")
    with pytest.raises(UserError, match=r"s\.yaml:3: not valid YAML"):
        read_yaml(path)


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("rtt: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(path)


def test_a_scenario_is_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("- rtt\n")
    with pytest.raises(UserError, match="mapping"):
        read_yaml(path)


def test_set_reaches_nested_keys() -> None:
    data: dict[str, object] = {"flow_options": {"fps": 30}}
    set_key(data, "flow_options.fps=60")
    set_key(data, "flows=2")
    assert data == {"flow_options": {"fps": 60}, "flows": 2}


@pytest.mark.parametrize("assignment", ["flows", "=3", "flows.x.y=1", "flows=[1"])
def test_bad_assignments_are_refused(assignment: str) -> None:
    with pytest.raises(UserError, match="--set"):
        set_key({"flows": 1}, assignment)


def test_buffer_limit_is_a_multiple_of_rate_times_rtt() -> None:
    # 12 Mbit/s x 40 ms = 60 kB
    assert Buffer.parse("2bdp").limit_bytes(rate_bps=12e6, rtt_ns=40_000_000) == 120_000
    assert Buffer.parse("60kB").limit_bytes(rate_bps=12e6, rtt_ns=40_000_000) == 60_000
    assert Buffer.parse("0.01bdp").limit_bytes(rate_bps=1e6, rtt_ns=1_000_000) == 3 * 1514


def test_loss_forms() -> None:
    assert parse_loss("0.5%") == Loss.random(0.005)
    assert parse_loss("ge:1%,30%") == Loss(0.01, 0.3, 0.0, 1.0)
    assert parse_loss(format_loss(Loss(0.02, 0.5, 0.001, 0.9))) == Loss(0.02, 0.5, 0.001, 0.9)


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"repeats": 0}, "repeats = 0"),
        ({"flows": 0}, "flows = 0"),
        ({"rate": ""}, "rate"),
        ({"trace": ""}, "trace"),
        ({"policy_server": ""}, "policy_server"),
    ],
)
def test_a_flag_that_is_given_is_given(flags: dict[str, object], key: str) -> None:
    from testbed.cli.scenario_flags import scenario_from

    with pytest.raises(UserError, match=key):
        scenario_from(None, flags, ())


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("rtt: 40ms\nrtt: 80ms\n")
    with pytest.raises(UserError, match=r"twice\.yaml:2: .*'rtt' stands in line 1 already"):
        read_yaml(path)


def test_queue_options_are_tcs_with_units() -> None:
    scenario = parse_scenario(
        {"queue": "pie", "queue_options": {"target": "5ms", "alpha": 3}, "ecn": True}, "test"
    )
    queue = scenario.queue_options.queue(scenario.queue, 60_000, ecn=scenario.ecn)
    assert (queue.target_ns, queue.alpha, queue.beta, queue.ecn) == (5_000_000, 3, 20, True)
    again = parse_scenario(yaml.safe_load(scenario.to_yaml()), "again")
    assert again.queue_options == scenario.queue_options


def test_reordering_and_duplication_are_written_with_units() -> None:
    scenario = parse_scenario({"reorder": "1%,5ms", "duplicate": "0.1%"}, "test")
    assert (scenario.reorder.chance, scenario.reorder.delay_ns) == (0.01, 5_000_000)
    assert scenario.duplicate == 0.001
    again = parse_scenario(yaml.safe_load(scenario.to_yaml()), "again")
    assert (again.reorder, again.duplicate) == (scenario.reorder, scenario.duplicate)
    with pytest.raises(UserError, match="write chance and delay, for example 1%,5ms"):
        parse_scenario({"reorder": "1%"}, "test")
