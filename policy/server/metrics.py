"""The server's counters, kept as plain numbers and handed to Prometheus when it asks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

BOUNDS_S = np.array([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])


class Histogram:
    """Durations in buckets, added many at a time."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(BOUNDS_S) + 1, np.int64)
        self._sum_s = 0.0

    def add(self, durations_ns: ArrayLike) -> None:
        """Durations, each counted once."""
        seconds = np.atleast_1d(np.asarray(durations_ns, np.float64)) / 1e9
        self._counts += np.bincount(np.searchsorted(BOUNDS_S, seconds), minlength=len(self._counts))
        self._sum_s += float(seconds.sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        return [(bound, float(n)) for bound, n in zip(bounds, np.cumsum(self._counts), strict=True)]

    @property
    def sum_s(self) -> float:
        """Sum of all durations."""
        return self._sum_s


class Metrics(Collector):
    """Written by the server's loop alone; read by the endpoint's thread."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()  # by tier
        self.late: Counter[str] = Counter()  # answers of a tier past their deadline
        self.dropped: Counter[tuple[str, str]] = (
            Counter()
        )  # answers computed and not sent, by tier and reason
        self.rejected: Counter[str] = Counter()  # records, windows and flows, by reason
        self.reasons: Counter[str] = Counter()  # windows that APC held difficult, by rule
        self.latency: defaultdict[str, Histogram] = defaultdict(
            Histogram
        )  # arrival of the StateBatch to the answer, by tier
        self.compute: defaultdict[str, Histogram] = defaultdict(Histogram)  # one call of a tier
        self.records = self.windows = self.difficult = self.admitted = 0
        self.flows = self.streams = 0
        self.competing: Callable[[], int] = lambda: 0  # flows; counted when asked for
        self.queue: dict[str, int] = {}  # flows that wait, by tier

    def answered(self, tier: str, latency_ns: NDArray[np.int64], compute_ns: int) -> None:
        """A tier decided for these flows; latency_ns: int64[n]."""
        self.decisions[tier] += len(latency_ns)
        self.latency[tier].add(latency_ns)
        self.compute[tier].add(compute_ns)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield _counter("decisions", "Decisions sent", ["tier"], self.decisions)
        yield _counter(
            "deadline_misses", "Answers later than the agent's deadline", ["tier"], self.late
        )
        yield _counter(
            "answers_dropped", "Answers computed but not sent", ["tier", "reason"], self.dropped
        )
        yield _counter(
            "rejected", "Records, windows, flows and batches not used", ["reason"], self.rejected
        )
        yield _counter(
            "difficult_windows", "Windows that a rule of APC held difficult", ["rule"], self.reasons
        )
        for name, value, text in (
            ("records", self.records, "ACK records folded"),
            ("windows", self.windows, "Windows closed"),
            ("difficult", self.difficult, "Windows that APC held difficult"),
            ("admitted", self.admitted, "Windows admitted to the batch queue"),
        ):
            yield CounterMetricFamily(f"tbtest_{name}", text, value)
        yield GaugeMetricFamily("tbtest_flows", "Open flows", self.flows)
        yield GaugeMetricFamily("tbtest_streams", "Connected agents", self.streams)
        yield GaugeMetricFamily(
            "tbtest_competing_flows",
            "Flows that compete with another for the queue",
            self.competing(),
        )
        queue = GaugeMetricFamily(
            "tbtest_queue_flows", "Flows that wait for a tier", labels=["tier"]
        )
        for tier, length in list(self.queue.items()):
            queue.add_metric([tier], length)
        yield queue
        for name, text, histograms in (
            ("decision_latency_seconds", "From a StateBatch's arrival to the answer", self.latency),
            ("tier_compute_seconds", "Duration of one call of a tier", self.compute),
        ):
            family = HistogramMetricFamily(f"tbtest_{name}", text, labels=["tier"])
            for tier, histogram in list(histograms.items()):
                family.add_metric([tier], histogram.buckets(), histogram.sum_s)
            yield family

    def registry(self) -> CollectorRegistry:
        """A registry with these metrics alone."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry


def _counter(
    name: str, text: str, labels: list[str], values: Counter[str] | Counter[tuple[str, str]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"tbtest_{name}", text, labels=labels)
    for key, value in list(values.items()):
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family
