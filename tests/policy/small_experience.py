"""A fluid model of one flow on one bottleneck, enough to make experience whose labels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.tasks.congestion import labels, schema
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.splits import assign_splits

WINDOW_NS = 100_000_000
MSS = 1448.0


def simulate(seed: int, windows: int) -> dict[str, np.ndarray]:
    """One flow that explores around its estimate on a capacity that walks; columns of the
    experience schema.
    """
    rng = np.random.default_rng(seed)
    base_rtt = rng.uniform(20e6, 80e6)
    capacity = 10e6 * np.exp2(np.clip(np.cumsum(rng.normal(0, 0.25, windows + 30)), -3, 3))
    at_ns = np.arange(windows + 31) * float(WINDOW_NS)
    integral = labels.CapacityIntegral(at_ns, np.concatenate([[0], np.cumsum(capacity * 0.1 / 8)]))
    queue, asked, action, limit = 0.0, 5e6, 0.0, 2 * 10e6 * base_rtt / 8e9
    recent: list[float] = []
    columns: dict[str, list[float]] = {name: [] for name in FIELDS}
    extra: dict[str, list[float]] = {
        name: [] for name in ("taken_log2", "queue_bytes", "delivered")
    }
    since_loss, last_rtt = 1e11, base_rtt
    for index in range(windows):
        arrived, served = asked * 0.1 / 8, capacity[index] * 0.1 / 8
        delivered = min(queue + arrived, served)
        lost = max(queue + arrived - served - limit, 0.0)
        queue = min(max(queue + arrived - served, 0.0), limit)
        rtt = base_rtt + queue * 8e9 / capacity[index]
        since_loss = 0.0 if lost else since_loss + WINDOW_NS
        recent = [*recent, delivered * 80][-10:]
        bandwidth = max(recent)
        row = {
            "duration_ns": WINDOW_NS,
            "acks": delivered / MSS,
            "acked_bytes": delivered,
            "delivery_rate_bps": delivered * 80,
            "send_rate_bps": asked,
            "rtt_mean_ns": (rtt + last_rtt) / 2,
            "rtt_min_ns": min(rtt, last_rtt),
            "rtt_gradient": (rtt - last_rtt) / WINDOW_NS,
            "srtt_ns": rtt,
            "min_rtt_ns": base_rtt,
            "queueing_delay_ns": rtt - base_rtt,
            "lost_bytes": lost,
            "loss_rate": lost / arrived,
            "inflight_bytes": asked * rtt / 8e9,
            "cwnd_bytes": 2 * asked * base_rtt / 8e9,
            "ack_spacing_ns": MSS * 8e9 / max(delivered * 80, 1.0),
            "asked_rate_bps": asked,
            "action_log2": action,
            "since_loss_ns": since_loss,
            "bandwidth_bps": bandwidth,
        }
        for name in FIELDS:
            columns[name].append(row.get(name, 0.0))
        action = float(np.clip(rng.normal(-0.3 * (queue > limit / 2), 0.4), -1, 1))
        asked, last_rtt = bandwidth * 2**action, rtt
        for name, value in (
            ("taken_log2", action),
            ("queue_bytes", queue),
            ("delivered", delivered),
        ):
            extra[name].append(value)
    end_ns = at_ns[1 : windows + 1]
    rate = labels.near_optimal_rate_bps(
        end_ns,
        integral,
        queue_bytes=extra["queue_bytes"],
        committed_bytes=0.0,
        forward_delay_ns=0.0,
        rtt_ns=base_rtt,
    )
    reward = labels.rewards(
        extra["delivered"],
        integral.between(end_ns - WINDOW_NS, end_ns),
        columns["queueing_delay_ns"],
        base_rtt,
        columns["loss_rate"],
    )
    return {name: np.asarray(values) for name, values in columns.items()} | {
        "mss_bytes": np.full(windows, MSS),
        "taken_log2": np.asarray(extra["taken_log2"]),
        "near_optimal_bps": rate,
        "near_optimal_log2": labels.action_log2(rate, columns["bandwidth_bps"]),
        "reward": reward,
        "return_to_go": labels.returns_to_go(reward),
        "queue_bytes": np.asarray(extra["queue_bytes"]),
        "capacity_bps": capacity[1 : windows + 1],
        "window": np.arange(windows),
        "end_ns": end_ns.astype(np.int64),
    }


def write_dataset(folder: Path, traces: int = 10, windows: int = 120, gcc: bool = True) -> Path:
    """A dataset of one flow on each of `traces` synthetic traces in two families."""
    schema.describe(folder, labels.Target(), labels.Reward())
    family_of = {f"walk-{i}": "even" if i % 2 == 0 else "odd" for i in range(traces)}
    splits = assign_splits(family_of)
    for seed, (trace, family) in enumerate(family_of.items()):
        columns: dict[str, object] = dict(simulate(seed, windows))
        names = {
            "source_trace": trace,
            "family": family,
            "split": splits[trace],
            "run": "r",
            "cell": "c",
        }
        columns |= {key: [value] * windows for key, value in names.items()}
        columns |= {"cc": ["explore"] * windows, "episode": [trace] * windows}
        if gcc:
            columns["gcc_bps"] = columns["bandwidth_bps"]
        schema.write_part(folder, trace, columns)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("experience"))
