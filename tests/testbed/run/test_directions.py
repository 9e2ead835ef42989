"""Capacity, queue and flows against the data direction."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.metrics.schema import Metrics
from testbed.errors import UserError
from testbed.run.prepared import resolve
from testbed.scenario import parse_scenario
from traces.errors import TraceError
from traces.library import other_direction

MAHIMAHI = "\n".join(str(at_ms) for at_ms in range(1, 1001)) + "\n"  # 12 Mbit/s


def scenario(**keys: Any) -> Any:
    return parse_scenario({"cc": ["cubic"], "link_backend": "relay", **keys}, "test")


def test_a_rate_a_trace_and_a_mapping_are_understood() -> None:
    assert scenario(reverse="5mbit").reverse.rate_bps == 5e6
    assert scenario(reverse="lte-walking").reverse.trace == "lte-walking"
    whole = scenario(reverse={"rate": "1mbit", "queue": "codel", "loss": "1%"}).reverse
    assert (whole.rate_bps, whole.queue, whole.loss.mean) == (1e6, "codel", 0.01)
    again = parse_scenario(json.loads(json.dumps(_dumped(whole))), "again")
    assert again.reverse == whole
    with pytest.raises(UserError, match="a trace or a rate, one of the two"):
        scenario(reverse={"rate": "1mbit", "trace": "pair"})


def _dumped(reverse: Any) -> dict[str, Any]:
    return {"reverse": reverse.model_dump(mode="json", by_alias=True)}


@pytest.mark.root
def test_a_pair_of_recordings_is_one_option(tmp_path: Path) -> None:
    (tmp_path / "Car-LTE.down").write_text(MAHIMAHI)
    (tmp_path / "Car-LTE.up").write_text("10\n1000\n")
    prepared = resolve(scenario(trace=str(tmp_path / "Car-LTE.down"), reverse="pair"))
    assert prepared.trace.name == "Car-LTE.down"
    assert prepared.reverse.capacity is not None
    assert prepared.reverse.capacity.name == "Car-LTE.up"
    assert prepared.reverse.capacity.mean_bps() == pytest.approx(2 * 1500 * 8 / 1.0)
    same = resolve(scenario(trace="lte-walking", reverse="lte-walking"))
    assert same.reverse.capacity is not None
    assert same.reverse.capacity.name == "lte-walking.reverse"


def test_the_other_direction_is_found_by_name(tmp_path: Path) -> None:
    for name in ("a.down.gz", "a.up.gz", "b-uplink.csv", "b-downlink.csv", "c.down", "plain"):
        (tmp_path / name).touch()
    assert other_direction(tmp_path / "a.down.gz") == tmp_path / "a.up.gz"
    assert other_direction(tmp_path / "a.up.gz") == tmp_path / "a.down.gz"
    assert other_direction(tmp_path / "b-uplink.csv") == tmp_path / "b-downlink.csv"
    with pytest.raises(TraceError, match=r"c\.up: the other direction of c\.down is not there"):
        other_direction(tmp_path / "c.down")
    with pytest.raises(TraceError, match=r"pairs are named name\.down and name\.up"):
        other_direction(tmp_path / "plain")


@pytest.mark.root
def test_acks_queue_and_data_flows_back(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = "run --cc cubic --rate 8mbit --reverse 2mbit --bidirectional --flow bulk --rtt 20ms"
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *command.split(), "--duration", "4s", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=115,
    )
    assert done.returncode == 0, done.stderr
    assert "ACKs' queueing delay" in done.stdout
    cell = next((out / "cells").iterdir())
    flows = json.loads((cell / "cell.json").read_text())["flows"]
    assert [(flow["sender"], flow["bottleneck"]) for flow in flows] == [("s1", 0), ("d1", 1)]
    packets = pq.read_table(cell / "packets.parquet").to_pandas()
    data = packets[~packets["ack"] & (packets["flow"] >= 0)]
    assert data.groupby("flow")["link"].unique().map(list).to_dict() == {0: [0], 1: [1]}
    forward, backward = Metrics.model_validate_json((out / "metrics.json").read_text()).cells
    assert 2 < forward.throughput_mbps < 8
    assert 0.5 < backward.throughput_mbps < 2
    assert forward.jain is None
    # The ACKs of the fast flow wait behind the data of the slow one.
    assert forward.ack_qdelay_ms is not None
    assert forward.ack_qdelay_ms.p95 is not None
    assert forward.ack_qdelay_ms.p95 > 6  # a full packet at 2 Mbit/s
