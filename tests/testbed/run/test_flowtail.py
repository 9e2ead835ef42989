"""The tails of a cell's logs, and the lines that the live view makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from agent.log import DECISIONS
from testbed.links.relay.log import RECORD
from testbed.run.flowtail import FlowNow, FlowTail
from testbed.run.live import FlowLines

MS = 1_000_000


def packets(flow: int, count: int, *, ack: bool = False, dropped: bool = False) -> bytes:
    """Records of 1500 bytes that waited 7 ms each."""
    records = np.zeros(count, RECORD)
    ports = (5000 + flow, 40_000 + flow) if ack else (40_000 + flow, 5000 + flow)
    records["source_port"], records["destination_port"] = ports
    records["size_bytes"] = 1500
    records["dequeue_ns"] = -1 if dropped else 7 * MS
    records["verdict"] = 1 if dropped else 0
    return records.tobytes()


def test_rates_and_delays_of_what_is_new(tmp_path: Path) -> None:
    tail = FlowTail(tmp_path)
    log = tmp_path / "link-bottleneck.packets"
    log.write_bytes(packets(0, 100))
    assert [now.flow for now in tail.read(0)] == []  # no time has passed yet
    with log.open("ab") as file:
        file.write(packets(0, 50) + packets(0, 50, ack=True) + packets(3, 10, dropped=True))
        file.write(packets(1, 1)[:20])  # not whole yet
    first, third = tail.read(100 * MS)
    assert (first.flow, third.flow) == (0, 3)
    assert first.rate_bps == pytest.approx(50 * 1500 * 8 / 0.1)
    assert first.queue_ns == 7 * MS
    assert (third.rate_bps, third.lost_packets) == (0, 10)
    with log.open("ab") as file:
        file.write(packets(1, 1)[20:])
    assert [now.flow for now in tail.read(200 * MS)] == [0, 1, 3]
    tail.close()


def test_the_busiest_link_of_a_path_is_the_flows_rate(tmp_path: Path) -> None:
    (tmp_path / "link-a.packets").write_bytes(b"")
    (tmp_path / "link-b.packets").write_bytes(b"")
    tail = FlowTail(tmp_path)
    tail.read(0)
    (tmp_path / "link-a.packets").write_bytes(packets(0, 20))
    (tmp_path / "link-b.packets").write_bytes(packets(0, 20))
    (now,) = tail.read(100 * MS)
    assert now.rate_bps == pytest.approx(20 * 1500 * 8 / 0.1)
    assert now.queue_ns == 14 * MS
    tail.close()


def test_the_tier_that_answered_most(tmp_path: Path) -> None:
    path = tmp_path / "decisions-1.arrows"
    rows = [
        dict.fromkeys(DECISIONS.names, 0) | {"tier": tier} for tier in ("llm",) * 3 + ("light",)
    ]
    for row in rows:
        row["deadline_missed"] = False
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, DECISIONS) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, DECISIONS))
    data = sink.getvalue().to_pybytes()
    path.write_bytes(data[:-200])  # the batch is not whole
    (tmp_path / "link-a.packets").write_bytes(b"")
    tail = FlowTail(tmp_path)
    tail.read(0)
    path.write_bytes(data)
    with (tmp_path / "link-a.packets").open("ab") as file:
        file.write(packets(0, 20))
    for turn in range(1, 7):
        found = tail.read(turn * MS)
    assert [now.tier for now in found] == ["llm 75%"]
    tail.close()


def test_a_line_for_each_flow() -> None:
    lines = FlowLines()
    lines.show([FlowNow(-1, 1e6, 0, 0, ""), FlowNow(2, 12.34e6, 56.7 * MS, 8, "llm 75%")])
    assert lines.lines[1].startswith("other      1.00       0.0     0")
    assert lines.lines[2].startswith("    2     12.34      56.7     8  llm 75%")
    lines.show([FlowNow(number, 1e6, 0, 0, "") for number in range(20)])
    assert lines.lines[-1] == "and 4 more"
