"""A hand-made cell whose windows, labels and rewards can be worked out on paper."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.log import ACKS, EVENTS
from policy.tasks.congestion.labels import Reward, Target
from policy.tasks.congestion.schema import SCHEMA, describe, read, write_part
from testbed.collect.experience import fair_share, run_columns
from testbed.collect.packets import BottleneckLog, largest_packet_bytes, upstream_delay_ns
from traces.model import constant
from traces.parquet import write_parquet

MS = 1_000_000
ZERO = 50_000 * MS
MSS, PACKET = 1448, 1500
ABOUT = {"source_trace": "flat", "family": "hand", "split": "train", "run": "r"}


def packet_table(rows):
    names = ("link", "flow", "ack", "enqueue_ns", "dequeue_ns", "size_bytes", "verdict")
    kinds = (pa.uint8(), pa.int16(), pa.bool_(), pa.int64(), pa.int64(), pa.uint32(), pa.uint8())
    columns = zip(*rows, strict=True)
    return pa.table({n: pa.array(c, k) for n, c, k in zip(names, columns, kinds, strict=True)})


def test_the_queue_is_what_entered_and_has_not_left():
    packets = packet_table(
        [
            (0, 0, False, 10, 30, 1500, 0),
            (0, 0, False, 20, 50, 1000, 3),  # lost behind the queue: it was in it
            (0, 0, False, 25, None, 700, 1),  # tail drop
            (0, 1, False, 40, None, 500, 4),  # still there at the end
            (2, 0, False, 10, 12, 9000, 0),  # another link
        ]
    )
    log = BottleneckLog(packets, 0)
    assert log.queue_bytes(np.array([5, 10, 29, 30, 45, 60])).tolist() == [
        0,
        1500,
        2500,
        1000,
        1500,
        500,
    ]
    assert log.arriving_bytes(np.array([10]), np.array([25])).tolist() == [1700]
    assert largest_packet_bytes(packets, 1) == 500
    assert largest_packet_bytes(packets, 7) is None


def test_links_crossed_before_the_bottleneck_delay_the_flow():
    packets = packet_table(
        [
            (0, 0, False, 10, 11, 1500, 0),
            (2, 0, False, 20, 21, 1500, 0),
            (4, 0, False, 30, 31, 1500, 0),
            (3, 0, True, 5, 6, 52, 0),  # an ACK
        ]
    )
    delay_of = {0: 7, 2: 11, 3: 13, 4: 17}
    assert upstream_delay_ns(packets, 0, 2, delay_of) == 7
    assert upstream_delay_ns(packets, 0, 0, delay_of) == 0
    assert upstream_delay_ns(packets, 0, 4, delay_of) == 18


def test_capacity_is_shared_by_the_flows_that_are_there():
    flows = [
        {"bottleneck": 0, "start_ns": 0, "stop_ns": 100},
        {"bottleneck": 0, "start_ns": 50, "stop_ns": 100},
        {"bottleneck": 2, "start_ns": 0, "stop_ns": 100},
    ]
    assert fair_share(flows, 0, np.array([10, 50, 200])).tolist() == [1.0, 0.5, 1.0]


@pytest.fixture
def make_run(tmp_path):
    """One flow at 6 Mbit/s of payload on a link of 12 Mbit/s of packets, an ACK per 10 ms, empty
    queue.
    """

    def make(cc, pacing_bps):
        folder = tmp_path / "run" / "cells" / "000-x-r0"
        folder.mkdir(parents=True)
        (tmp_path / "run" / "traces").mkdir()
        write_parquet(constant(12e6), tmp_path / "run" / "traces" / "flat.parquet")
        step_bytes = 7500
        count = 100
        at_ns = ZERO + 40 * MS + np.arange(count) * 10 * MS
        total = (1 + np.arange(count)) * step_bytes
        values = {
            "flow": np.zeros(count),
            "generation": np.ones(count),
            "at_ns": at_ns,
            "rtt_ns": np.full(count, 40 * MS),
            "srtt_ns": np.full(count, 40 * MS),
            "min_rtt_ns": np.full(count, 40 * MS),
            "acked_bytes": total,
            "delivered_bytes": total,
            "lost_bytes": np.zeros(count),
            "sent_bytes": total + 4 * step_bytes,
            "inflight_bytes": np.full(count, 4 * step_bytes),
            "delivered_packets": total // MSS,
            "delivered_ce_packets": np.zeros(count),
            "cwnd_packets": np.full(count, 40),
            "mss_bytes": np.full(count, MSS),
            "pacing_rate_bps": np.full(count, pacing_bps),
            "delivery_rate_bps": np.full(count, 6e6),
            "app_limited": np.zeros(count, bool),
            "commanded": np.zeros(count, bool),
        }
        columns = [pa.array(values[f.name]).cast(f.type) for f in ACKS]
        pq.write_table(pa.table(columns, schema=ACKS), folder / "acks.parquet")
        event = {"at_ns": ZERO, "flow": 0, "event": "open", "detail": "slot 0 generation 1"}
        pq.write_table(pa.Table.from_pylist([event], EVENTS), folder / "events.parquet")
        sent = ZERO + np.arange(0, 1000, 2) * MS
        pq.write_table(
            packet_table([(0, 0, False, int(t), int(t) + MS, PACKET, 0) for t in sent]),
            folder / "packets.parquet",
        )
        flow = {
            "flow": 0,
            "bottleneck": 0,
            "base_rtt_ns": 40 * MS,
            "start_ns": ZERO,
            "stop_ns": ZERO + 1000 * MS,
        }
        link = {"link": 0, "trace": "traces/flat.parquet", "delay_ns": 20 * MS}
        cell = {
            "cc": cc,
            "start_ns": ZERO,
            "stop_ns": ZERO + 1000 * MS,
            "flows": [flow],
            "links": [link],
        }
        (folder / "cell.json").write_text(json.dumps(cell))
        return tmp_path / "run"

    return make


def test_rows_of_a_flow_that_uses_half_of_an_empty_link(make_run, tmp_path):
    columns = run_columns(make_run("policy:gcc", 9e6), ABOUT, Target(), Reward())
    assert set(columns) == set(SCHEMA.names)
    assert columns["window"].tolist() == list(
        range(9)
    )  # ten windows; the last one's action shows nowhere
    assert columns["end_ns"].tolist() == [ZERO + 100 * MS * k for k in range(1, 10)]
    # 12 Mbit/s of packets are 12 · 1448 / 1500 of payload; to it 30 ms of target delay over the
    # horizon of 200 ms. The packet that arrives as the window ends is the queue: its payload over
    # the horizon comes off.
    payload_bps = 12e6 * MSS / PACKET
    wanted = payload_bps * (1 + 30 / 200) - MSS * 8 / 0.2
    np.testing.assert_allclose(columns["near_optimal_bps"], wanted, rtol=1e-6)
    np.testing.assert_allclose(columns["capacity_bps"], payload_bps, rtol=1e-6)
    np.testing.assert_allclose(columns["queue_bytes"], MSS)
    np.testing.assert_allclose(columns["taken_log2"][1:], np.log2(9 / 6), rtol=1e-6)
    # No delay, no loss: the reward is the share of the capacity that was delivered.
    np.testing.assert_allclose(columns["reward"][2:], 6e6 / payload_bps, rtol=1e-6)
    np.testing.assert_allclose(columns["return_to_go"][2:], 6e6 / payload_bps, rtol=1e-6)
    assert np.all(columns["gcc_bps"] > 0)
    describe(tmp_path / "data", Target(), Reward())
    write_part(tmp_path / "data", "x", columns)
    assert read(tmp_path / "data").num_rows == 9


def test_a_behaviour_that_does_not_pace_acts_by_what_it_sends(make_run):
    columns = run_columns(make_run("observe:cubic", 20e6), ABOUT, Target(), Reward())
    np.testing.assert_allclose(columns["taken_log2"][1:], 0.0, atol=1e-6)


def test_a_run_without_flows_is_an_empty_part(make_run, tmp_path):
    run = make_run("policy:gcc", 9e6)
    pq.write_table(EVENTS.empty_table(), run / "cells" / "000-x-r0" / "events.parquet")
    columns = run_columns(run, ABOUT, Target(), Reward())
    assert pq.read_table(write_part(tmp_path, "empty", columns)).num_rows == 0
