"""Every metric on cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.measure import measure, measure_cell, summarise
from analysis.metrics.delay import one_way_ns, power, queueing_ns
from analysis.metrics.fairness import jain_index
from analysis.metrics.loss import loss_rate, retransmit_rate
from analysis.metrics.percentiles import percentiles_ms
from analysis.metrics.throughput import capacity_bps, delivered_bps, goodput_bps, utilisation
from analysis.run import load_run
from tests.analysis.synthetic import (
    MS,
    START_NS,
    TCPINFO,
    S,
    SyntheticCell,
    bulk_cell,
    load_cell,
    packet,
    received,
    row,
    steady_packets,
    write_run,
)
from traces.forms import Opportunities, Steps
from traces.model import Trace, constant


def test_goodput_is_what_had_arrived_when_the_flow_ended(tmp_path: Path) -> None:
    rows = [
        received(0, 0.2),
        received(500_000, 0.6),
        received(900_000, 1.0),
        received(990_000, 1.01),
    ]
    cell, flow = load_cell(
        tmp_path, SyntheticCell(flows=[{"start_ns": START_NS + S // 5}], logs={"goodput": rows})
    )
    # 900 kB by the stop, over the 0.8 s from the flow's start; the late 90 kB do not count.
    assert goodput_bps(cell.log("goodput"), flow) == pytest.approx(900_000 * 8 / 0.8)


def test_goodput_of_a_flow_that_never_connected_is_zero(tmp_path: Path) -> None:
    cell, flow = load_cell(tmp_path, SyntheticCell(logs={"goodput": []}))
    assert goodput_bps(cell.log("goodput"), flow) == 0


def test_utilisation_counts_delivered_bytes_within_the_flow(tmp_path: Path) -> None:
    packets = [
        packet(0, 10),
        packet(10, 10),
        packet(20, 10, verdict=1),  # tail drop
        packet(30, 10, verdict=3),  # lost behind the queue
        packet(40, 10, flow=1),  # another's
        packet(50, 10, ack=True),
        packet(995, 10),  # leaves after the end
    ]
    cell, flow = load_cell(tmp_path, SyntheticCell(logs={"packets": packets}), constant(12e6))
    assert utilisation(cell, flow, cell.data_packets(flow)) == pytest.approx(2 * 1500 / 1_500_000)


def test_utilisation_of_a_late_flow_is_of_its_own_time(tmp_path: Path) -> None:
    trace = Trace("steps", None, Steps(np.array([0, S // 2]), np.array([0.0, 8e6])))
    cell, flow = load_cell(
        tmp_path,
        SyntheticCell(
            flows=[{"start_ns": START_NS + S * 3 // 4}], logs={"packets": [packet(800, 10)]}
        ),
        trace,
    )
    assert utilisation(cell, flow, cell.data_packets(flow)) == pytest.approx(1500 / 250_000)


def test_no_utilisation_without_packets_a_trace_or_capacity(tmp_path: Path) -> None:
    cell, flow = load_cell(tmp_path, SyntheticCell())
    assert utilisation(cell, flow, cell.data_packets(flow)) is None
    outage = Trace("outage", None, Steps(np.array([0, 2 * S]), np.array([0.0, 8e6])))
    cell, flow = load_cell(tmp_path / "b", SyntheticCell(logs={"packets": [packet(1, 1)]}), outage)
    assert utilisation(cell, flow, cell.data_packets(flow)) is None
    cell, flow = load_cell(
        tmp_path / "c", SyntheticCell(logs={"packets": [packet(1, 1)]}, link={"trace": None})
    )
    assert utilisation(cell, flow, cell.data_packets(flow)) is None
    assert np.isnan(capacity_bps(cell, flow)).all()


def test_rates_per_window(tmp_path: Path) -> None:
    # Leave at 10, 99 and 100 ms: two in the first window, one in the second.
    packets = [packet(0, 10), packet(50, 49), packet(50, 50), packet(60, 10, verdict=2)]
    cell, flow = load_cell(tmp_path, SyntheticCell(duration_s=0.3, logs={"packets": packets}))
    seconds, rate = delivered_bps(cell.data_packets(flow), cell.start_ns, cell.stop_ns)
    assert seconds == pytest.approx([0.05, 0.15, 0.25])
    assert rate == pytest.approx([2 * 1500 * 80, 1500 * 80, 0])
    assert capacity_bps(cell, flow) == pytest.approx([12e6] * 3)


def test_capacity_of_delivery_opportunities_is_not_smoothed(tmp_path: Path) -> None:
    trace = Trace(
        "two", S, opportunities=Opportunities(np.array([50 * MS, 250 * MS]), np.array([1504, 3008]))
    )
    cell, flow = load_cell(tmp_path, SyntheticCell(duration_s=0.3), trace)
    assert capacity_bps(cell, flow) == pytest.approx([1504 * 80, 0, 3008 * 80])


def test_delays_are_of_delivered_packets(tmp_path: Path) -> None:
    packets = [packet(0, 5), packet(1, 15), packet(2, verdict=1), packet(3, 99, verdict=3)]
    changes = {"base_owd_ns": 35 * MS}  # 15 ms on another link of the path
    cell, flow = load_cell(tmp_path, SyntheticCell(flows=[changes], logs={"packets": packets}))
    own = cell.data_packets(flow)
    assert queueing_ns(own, flow) == pytest.approx([5 * MS, 15 * MS])
    assert one_way_ns(cell, flow, own) == pytest.approx([(5 + 35) * MS, (15 + 35) * MS])
    # 8 Mbit/s over a mean of 45 ms.
    assert power(8e6, one_way_ns(cell, flow, own)) == pytest.approx(8 / 0.045)
    assert power(8e6, np.empty(0)) is None


def test_packets_that_leave_after_the_stop_time_have_no_delay(tmp_path: Path) -> None:
    packets = [packet(0, 5), packet(100, 175)]
    cell, flow = load_cell(tmp_path, SyntheticCell(duration_s=0.3, logs={"packets": packets}))
    own = cell.data_packets(flow)
    late_ns = int(own["deliver_ns"].max())
    stopped = flow.model_copy(update={"stop_ns": late_ns - 1})
    assert len(queueing_ns(own, flow.model_copy(update={"stop_ns": late_ns}))) == 2
    assert queueing_ns(own, stopped) == pytest.approx([5 * MS])
    assert len(one_way_ns(cell, stopped, own)) == 1


def test_percentiles_interpolate_and_ignore_what_is_missing() -> None:
    found = percentiles_ms([1 * MS, 2 * MS, 3 * MS, np.nan])
    assert (found.p50, found.p95, found.p99) == pytest.approx((2.0, 2.9, 2.98))
    assert percentiles_ms([]).p50 is None


def test_loss_counts_drops_but_not_what_was_still_queued(tmp_path: Path) -> None:
    packets = [
        packet(number, verdict=verdict)
        for number, verdict in enumerate((0, 0, 0, 0, 0, 1, 2, 3, 4, 0))
    ]
    cell, flow = load_cell(tmp_path, SyntheticCell(logs={"packets": packets}))
    assert loss_rate(cell.data_packets(flow)) == pytest.approx(3 / 10)
    assert loss_rate(cell.data_packets(flow).iloc[:0]) is None


def test_retransmissions_come_from_the_last_sample(tmp_path: Path) -> None:
    rows = [
        row(TCPINFO, at_ns=START_NS, srtt_ns=0, bytes_sent=1000, bytes_retrans=900),
        row(TCPINFO, at_ns=START_NS + S, srtt_ns=MS, bytes_sent=20_000, bytes_retrans=1000),
        row(TCPINFO, flow=1, at_ns=START_NS + S, srtt_ns=0, bytes_sent=0),
    ]
    cell, flow = load_cell(tmp_path, SyntheticCell(flows=[{}, {}], logs={"tcpinfo": rows}))
    info = cell.log("tcpinfo")
    assert retransmit_rate(info, flow) == pytest.approx(0.05)
    assert retransmit_rate(info, cell.flows[1]) is None
    assert retransmit_rate(pd.DataFrame(), flow) is None


def test_jain() -> None:
    assert jain_index([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert jain_index([5.0, 0.0]) == pytest.approx(0.5)
    assert jain_index([1.0, 2.0, 3.0]) == pytest.approx(36 / (3 * 14))
    assert jain_index([0.0, 0.0]) is None


@given(st.lists(st.floats(0.1, 1e9), min_size=1, max_size=20), st.floats(0.1, 1e3))
def test_jain_lies_between_one_nth_and_one_and_has_no_unit(
    rates: list[float], factor: float
) -> None:
    index = jain_index(rates)
    assert index is not None
    assert 1 / len(rates) - 1e-9 <= index <= 1 + 1e-9
    assert index == pytest.approx(jain_index([rate * factor for rate in rates]))


def test_a_whole_cell(tmp_path: Path) -> None:
    cell, _ = load_cell(tmp_path, bulk_cell("cubic", rate_mbps=6, queue_ms=30))
    (metrics,) = measure_cell(cell)
    assert (metrics.cc, metrics.kind, metrics.flow, metrics.repeat, metrics.seed) == (
        "cubic",
        "bulk",
        0,
        0,
        11,
    )
    assert metrics.throughput_mbps == pytest.approx(6)
    # 2 ms between packets, those that leave within the second: 485 of 1000 full packets offered.
    assert metrics.utilisation == pytest.approx(0.485)
    assert metrics.owd_ms.p50 == pytest.approx(50)
    assert metrics.qdelay_ms.p99 == pytest.approx(30)
    assert metrics.rtt_ms.p50 == pytest.approx(40)  # the sample of 0 is none yet
    assert metrics.loss_rate == 0
    assert metrics.retransmit_rate == 0
    assert metrics.power == pytest.approx(6 / 0.05)
    assert metrics.jain is None
    assert metrics.video is None
    assert metrics.decisions is None


def test_fairness_is_of_the_measured_flows_alone(tmp_path: Path) -> None:
    goodput = [received(300_000), received(100_000, flow=1), received(999_999, flow=2)]
    cell, _ = load_cell(
        tmp_path, SyntheticCell(flows=[{}, {}, {"role": "cross"}], logs={"goodput": goodput})
    )
    first, second = measure_cell(cell)
    assert first.jain == second.jain == pytest.approx(16 / (2 * 10))


def test_summary_is_the_median_of_cells_and_marks_a_clear_winner(tmp_path: Path) -> None:
    cells = [
        bulk_cell(cc, rate, queue, repeat=repeat, seed=repeat)
        for cc, rate, queue in (("bbr", 6.0, 5.0), ("cubic", 4.0, 40.0))
        for repeat in range(5)
    ]
    cells[0] = bulk_cell("bbr", 6.6, 5.0, seed=0)
    metrics = measure(load_run(write_run(tmp_path / "run", cells)))
    rows = {(entry.metric, entry.cc): entry for entry in metrics.summary}
    best = rows["throughput_mbps", "bbr"]
    assert best.median == pytest.approx(6.0)
    assert best.cells == 5
    assert best.ci95 == pytest.approx((6.0, 6.6))
    assert best.winner
    assert not rows["throughput_mbps", "cubic"].winner
    assert rows["power", "bbr"].winner
    # A controller that sends less has less delay: no mark for that.
    assert rows["owd_ms.p95", "bbr"].ci95[1] < rows["owd_ms.p95", "cubic"].ci95[0]
    assert not rows["owd_ms.p95", "bbr"].winner
    assert not any(metric.startswith("video") for metric, _ in rows)


def test_flows_of_a_cell_are_averaged_before_the_median(tmp_path: Path) -> None:
    goodput = [received(1_000_000), received(500_000, flow=1)]
    packets = steady_packets(6, 1, 10)
    cell, _ = load_cell(
        tmp_path, SyntheticCell(flows=[{}, {}], logs={"goodput": goodput, "packets": packets})
    )
    rows = {entry.metric: entry for entry in summarise(measure_cell(cell))}
    assert rows["throughput_mbps"].median == pytest.approx(6)
    assert rows["throughput_mbps"].cells == 1
    assert rows["throughput_mbps"].ci95 is None
    assert rows["owd_ms.p50"].median == pytest.approx(
        30
    )  # flow 1 has no packets and does not count


def test_several_flows_have_a_utilisation_of_their_link(tmp_path: Path) -> None:
    """Two flows of 3 and 6 Mbit/s on 12: a quarter and a half, and three quarters of the link."""
    packets = steady_packets(3, 1, 10) + steady_packets(6, 1, 10, flow=1)
    goodput = [received(375_000), received(750_000, flow=1)]
    logs = {"packets": packets, "goodput": goodput}
    folder = write_run(tmp_path / "two", [SyntheticCell(flows=[{}, {}], logs=logs)])
    metrics = measure(load_run(folder))
    both = pytest.approx(0.75, rel=0.03)
    assert [flow.link_utilisation for flow in metrics.cells] == [both, both]
    assert [flow.utilisation for flow in metrics.cells] == pytest.approx([0.25, 0.5], rel=0.03)
    (row,) = [entry for entry in metrics.summary if entry.metric == "link_utilisation"]
    assert row.median == both
    alone = measure(load_run(write_run(tmp_path / "one", [bulk_cell("bbr", 6, 10)])))
    assert alone.cells[0].link_utilisation is None
