"""Logs survive a killed agent, and say what was recorded."""

import numpy as np
import pyarrow.parquet as pq

from agent.layout import RECORD, Flag
from agent.log import ACKS, DECISIONS, EVENTS, AgentLog, finish


def records(count, at_ns=0):
    r = np.zeros(count, RECORD)
    r["at_ns"] = at_ns + np.arange(count)
    r["slot"], r["generation"], r["mss_bytes"] = 1, 2, 1000
    r["rtt_us"] = np.where(np.arange(count) % 2, -1, 20_000)
    r["sample_delivered_packets"], r["sample_interval_us"] = (
        10,
        np.where(np.arange(count) % 2, 0, 10_000),
    )
    r["inflight_packets"], r["pacing_rate_Bps"], r["acked_bytes"] = 7, 125_000, 5
    r["flags"] = Flag.APP_LIMITED
    return r


def decision(tier="gcc", **values):
    row = {field.name: np.array([1]) for field in DECISIONS} | {"tier": np.array([tier])}
    return row | {name: np.array([value]) for name, value in values.items()}


def test_units_and_missing_samples(tmp_path):
    log = AgentLog(tmp_path, 1)
    log.acks(records(2), np.array([3, 3], np.int16))
    log.decisions(decision(close_ack_ns=0, received_ns=5, deadline_missed=True))
    log.event(9, -1, "server-lost", "gone")
    log.close()
    acks = pq.read_table(tmp_path / "acks.parquet")
    assert acks.schema.equals(ACKS)
    first, second = acks.to_pylist()
    assert (first["flow"], first["generation"], first["rtt_ns"]) == (3, 2, 20_000_000)
    assert first["delivery_rate_bps"] == 10 * 1000 * 8 / 0.01
    assert first["inflight_bytes"] == 7000
    assert first["pacing_rate_bps"] == 1e6
    assert first["app_limited"]
    assert not first["commanded"]
    assert second["rtt_ns"] is None
    assert second["delivery_rate_bps"] is None
    (row,) = pq.read_table(tmp_path / "decisions.parquet").to_pylist()
    assert (row["close_ack_ns"], row["received_ns"], row["tier"], row["deadline_missed"]) == (
        None,
        5,
        "gcc",
        True,
    )
    events = pq.read_table(tmp_path / "events.parquet")
    assert events.schema.equals(EVENTS)
    assert events.to_pylist() == [
        {"at_ns": 9, "flow": -1, "event": "server-lost", "detail": "gone"}
    ]
    assert not list(tmp_path.glob("*.arrows*"))


def test_chunks_are_bounded_in_time_and_rows(tmp_path):
    log = AgentLog(tmp_path, 0, chunk_ns=100, chunk_rows=10)
    stream = tmp_path / "acks-0.arrows"
    empty = stream.stat().st_size
    log.acks(records(5), np.zeros(5, np.int16))
    log.flush(50)
    assert stream.stat().st_size == empty
    log.flush(100)
    assert (written := stream.stat().st_size) > empty
    log.acks(records(10), np.zeros(10, np.int16))
    log.flush(101)
    assert stream.stat().st_size > written
    log.close()


def test_what_a_killed_agent_wrote_is_kept(tmp_path):
    killed = AgentLog(tmp_path, 1, chunk_rows=1)
    killed.acks(records(3, at_ns=0), np.zeros(3, np.int16))
    killed.flush(2)
    stream = tmp_path / "acks-1.arrows"
    with stream.open("ab") as file:
        file.write(stream.read_bytes()[-200:-100])  # cut off in the middle of a chunk
    successor = AgentLog(tmp_path, 5)
    successor.acks(records(2, at_ns=100), np.zeros(2, np.int16))
    successor.close()
    assert pq.read_table(tmp_path / "acks.parquet")["at_ns"].to_pylist() == [0, 1, 2, 100, 101]
    late = AgentLog(tmp_path, 9)
    late.acks(records(1, at_ns=200), np.zeros(1, np.int16))
    late.close()
    finish(tmp_path)
    assert pq.read_table(tmp_path / "acks.parquet")["at_ns"].to_pylist() == [0, 1, 2, 100, 101, 200]
