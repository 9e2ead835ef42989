"""Columns survive the wire, and columns that do not fit are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.protocol import columns as col
from policy.protocol import policy_pb2 as pb

LAYOUTS = [
    (pb.Opens, col.OPENS),
    (pb.Closes, col.CLOSES),
    (pb.Windows, col.WINDOWS),
    (pb.AckRecords, col.ACK_RECORDS),
    (pb.DecisionBatch, col.DECISIONS),
]


@pytest.mark.parametrize(("message", "layout"), LAYOUTS)
def test_every_bytes_field_has_a_type(message: type, layout: col.Layout) -> None:
    fields = {field.name for field in message.DESCRIPTOR.fields if field.type == field.TYPE_BYTES}  # type: ignore[attr-defined]
    assert fields - {"objective"} == set(layout)  # a column that may be left out


@given(st.integers(0, 5), st.randoms(use_true_random=False))
def test_round_trip(count: int, random: object) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    sent = {
        name: rng.integers(0, 256, count * kind.itemsize, np.uint8).view(kind)
        for name, kind in col.ACK_RECORDS.items()
    }
    message = pb.AckRecords()
    col.pack(message, col.ACK_RECORDS, sent)
    got = col.unpack(pb.AckRecords.FromString(message.SerializeToString()), col.ACK_RECORDS)
    assert all(got[name].tobytes() == sent[name].tobytes() for name in sent)


def test_unequal_lengths_are_refused_both_ways() -> None:
    with pytest.raises(col.ColumnError, match=r"Closes\.generation"):
        col.pack(pb.Closes(), col.CLOSES, {"flow": [1, 2], "generation": [1]})
    with pytest.raises(col.ColumnError, match=r"Closes\.generation"):
        col.unpack(pb.Closes(flow=b"\1\0\0\0", generation=b""), col.CLOSES)
    with pytest.raises(col.ColumnError, match=r"Closes\.flow"):
        col.unpack(pb.Closes(flow=b"\1\0\0", generation=b""), col.CLOSES)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_cut_and_joined_undo_each_other(lengths: list[int]) -> None:
    total = sum(lengths)
    flow, window = np.arange(total), 7 * np.arange(total)
    columns = {"flow": flow, "generation": flow + 1, "window": window, "end_ns": window + 2**40}
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    raws = [
        col.raw(pb.Windows(**each), col.WINDOWS) for each in col.cut(columns, col.WINDOWS, starts)
    ]
    assert [raw.length for raw in raws] == lengths
    assert col.joined(raws, col.WINDOWS, "end_ns", "window").tolist() == [
        columns["end_ns"].tolist(),
        window.tolist(),
    ]
    assert col.joined(raws, col.WINDOWS, "generation").tolist() == [columns["generation"].tolist()]
