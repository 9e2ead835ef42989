"""What Prometheus is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from policy.server.metrics import BOUNDS_S, Histogram, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    text = generate_latest(metrics.registry()).decode()
    return {
        (
            sample.name,
            ",".join(value for _, value in sorted(sample.labels.items(), reverse=True)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_names_and_labels() -> None:
    metrics = Metrics()
    metrics.answered("gcc", np.array([1_500_000, 3_000_000]), 400_000)
    metrics.late["llm"] += 3
    metrics.dropped["llm", "late"] += 3
    metrics.rejected["bad_rate"] += 5
    metrics.queue["llm"] = 4
    metrics.competing = lambda: 2
    got = samples(metrics)
    assert got["tbtest_decisions_total", "gcc"] == 2
    assert got["tbtest_decision_latency_seconds_bucket", "gcc,0.002"] == 1
    assert got["tbtest_decision_latency_seconds_bucket", "gcc,0.005"] == 2
    assert got["tbtest_decision_latency_seconds_sum", "gcc"] == pytest.approx(0.0045)
    assert got["tbtest_tier_compute_seconds_count", "gcc"] == 1
    assert got["tbtest_deadline_misses_total", "llm"] == 3
    assert got["tbtest_answers_dropped_total", "llm,late"] == 3
    assert got["tbtest_rejected_total", "bad_rate"] == 5
    assert got["tbtest_queue_flows", "llm"] == 4
    assert got["tbtest_competing_flows", ""] == 2


@given(st.lists(st.integers(0, 3 * 10**9), max_size=50))
def test_histogram_counts_what_is_at_or_below_each_bound(durations_ns: list[int]) -> None:
    histogram = Histogram()
    histogram.add(durations_ns)
    counts = [count for _, count in histogram.buckets()]
    expected = [sum(d / 1e9 <= bound for d in durations_ns) for bound in BOUNDS_S]
    assert counts == [*expected, len(durations_ns)]


def test_sum_of_durations() -> None:
    histogram = Histogram()
    histogram.add([1_000_000, 2_000_000_000])
    histogram.add(3_000_000)
    assert histogram.buckets()[-1][1] == 3
    assert histogram.sum_s == pytest.approx(2.004)
