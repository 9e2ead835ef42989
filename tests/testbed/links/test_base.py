"""What links are made of, and the registry of backends."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from testbed.errors import UserError
from testbed.links import backend, backend_names
from testbed.links.base import PACKET_SCHEMA, Direction, DirectionRecord, LinkRecord, Queue
from testbed.links.impairments import Loss


def test_mean_loss() -> None:
    assert Loss.random(0.02).mean == pytest.approx(0.02)
    # A quarter of the time in the bad state, where everything is lost.
    assert Loss(p_good_bad=0.1, p_bad_good=0.3).mean == pytest.approx(0.25)
    assert Loss(p_good_bad=0.1, p_bad_good=0.3, loss_good=0.1, loss_bad=0.5).mean == pytest.approx(
        0.2
    )
    assert Loss(p_good_bad=0.0, p_bad_good=0.0, loss_good=0.5).mean == 0.5


@pytest.mark.parametrize(
    "values", [{"p_good_bad": -0.1}, {"loss_bad": 1.5}, {"loss_good": float("nan")}]
)
def test_a_loss_is_made_of_probabilities(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(values))):
        Loss(**values)


def test_a_queue_must_hold_a_packet_and_be_known() -> None:
    with pytest.raises(UserError, match="1499 bytes"):
        Queue(limit_bytes=1499)
    with pytest.raises(UserError, match="'red'; known: droptail, codel"):
        Queue(kind="red")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="target"):
        Queue("codel", target_ns=0)


def test_delays_are_not_negative() -> None:
    with pytest.raises(UserError, match="-1"):
        Direction(delay_ns=-1)


def test_unknown_backend() -> None:
    assert backend_names() == ["relay", "tc"]
    with pytest.raises(UserError, match="unknown 'ns3'; known: auto, relay, tc"):
        backend("ns3")


def test_packets_of_several_links_share_a_table() -> None:
    columns = {field.name: pa.array([0, 0], pa.int64()).cast(field.type) for field in PACKET_SCHEMA}
    columns["link"] = pa.array([0, 1], pa.uint8())
    nothing = DirectionRecord(np.empty(0), None, None)
    record = LinkRecord(
        "relay", pa.table(columns, PACKET_SCHEMA), True, nothing, nothing, 0.0, (), {}
    )
    numbered = record.packets_numbered(4)
    assert numbered["link"].to_pylist() == [4, 5]
    assert numbered.schema == PACKET_SCHEMA
