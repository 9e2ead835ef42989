"""The relay's packet log as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from testbed.links.base import DELIVERED, PACKET_SCHEMA, TAIL_DROP
from testbed.links.relay.log import RECORD, flows_of, read_log


def records(*rows: tuple[int, ...]) -> np.ndarray:
    return np.array(list(rows), RECORD)


def test_records_become_rows_in_order_of_arrival(tmp_path: Path) -> None:
    log = records(
        (30, -1, -1, -1, 7, 9, 9000, 1500, 1448, 40001, 5001, 0, TAIL_DROP, 6, 2),
        (10, 20, 25, 19, 7, 9, 7500, 1500, 1448, 40001, 5001, 0, DELIVERED, 6, 3 + 4),
        (12, 13, 18, 13, 9, 7, 0, 52, 0, 5001, 40001, 1, DELIVERED, 6, 3),
    )
    (tmp_path / "log").write_bytes(log.tobytes() + b"cut off")
    table = read_log(tmp_path / "log")
    assert table.schema == PACKET_SCHEMA
    assert table.to_pydict() == {
        "link": [0, 1, 0],
        "flow": [1, 1, 1],
        "ack": [False, True, False],
        "enqueue_ns": [10, 12, 30],
        "dequeue_ns": [20, 13, None],
        "deliver_ns": [25, 18, None],
        "size_bytes": [1500, 52, 1500],
        "queue_bytes": [7500, 0, 9000],
        "due_ns": [19, 13, None],
        "verdict": [DELIVERED, DELIVERED, TAIL_DROP],
        "ecn": [3, 3, 2],
        "marked": [True, False, False],
        "protocol": [6, 6, 6],
        "source": [7, 9, 7],
        "destination": [9, 7, 9],
        "source_port": [40001, 5001, 40001],
        "destination_port": [5001, 40001, 5001],
        "payload_bytes": [1448, 0, 1448],
    }


def test_an_empty_log_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert read_log(tmp_path / "log").equals(PACKET_SCHEMA.empty_table())


def test_flows_are_known_by_both_ports() -> None:
    source = np.array([40000, 5000, 40003, 5003, 40001, 40000, 0, 39999, 53], np.uint16)
    destination = np.array([5000, 40000, 5003, 40003, 5002, 80, 0, 4999, 53], np.uint16)
    flow, ack = flows_of(source, destination)
    assert flow.tolist() == [0, 0, 3, 3, -1, -1, -1, -1, -1]
    assert ack.tolist() == [False, True, False, True, False, False, False, False, False]


def test_a_receiver_that_connects_is_known_by_the_senders_port() -> None:
    source = np.array([40002, 20000, 40002, 29999, 40002, 30000], np.uint16)
    destination = np.array([20000, 40002, 29999, 40002, 30000, 40002], np.uint16)
    flow, ack = flows_of(source, destination)
    assert flow.tolist() == [2, 2, 2, 2, -1, -1]
    assert ack.tolist() == [False, True, False, True, False, False]
