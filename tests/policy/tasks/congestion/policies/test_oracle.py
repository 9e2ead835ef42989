"""The oracle: its rate on hand-made traces, and what it makes of them in a closed loop."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.api import FlowBatch, PolicyContext
from policy.errors import PolicyError
from policy.tasks.congestion.fields import FIELDS, F
from policy.tasks.congestion.policies.oracle import HEADER_BYTES, Foresight, Oracle, OracleSettings
from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    Links,
    Outcome,
    PolicyController,
    Source,
    Video,
    simulate,
)

MS = 1_000_000
ZERO = 7_000 * MS
PAYLOAD = MSS_BYTES / (MSS_BYTES + HEADER_BYTES)
EMPTY = OracleSettings(target_delay_ms=0)


def foresight(mbps: list[float], step_ms: int = 100, **more: object) -> Foresight:
    """A trace whose payload capacity holds each value for one step."""
    facts = {
        "zero_ns": ZERO,
        "step_ns": step_ms * MS,
        "carried_bytes": [rate * 1e6 / 8 * step_ms / 1e3 / PAYLOAD for rate in mbps],
        "upstream_delay_ns": 0,
        "base_rtt_ns": 50 * MS,
        "flows": [(ZERO, 10**15)],
        "settings": EMPTY,
    }
    return Foresight.model_validate(facts | more)


def batch(*, n: int = 1, **fields: float) -> FlowBatch:
    """n flows alike; their newest window holds these fields."""
    window = np.zeros((n, 1, len(FIELDS)))
    for name, value in {"duration_ns": 100 * MS, "acks": 10, **fields}.items():
        window[:, 0, F[name]] = value
    bandwidth, min_rtt, mss = np.full(n, 3e6), np.full(n, 50e6), np.full(n, MSS_BYTES)
    return FlowBatch(np.arange(n), window, np.ones((n, 1), bool), bandwidth, min_rtt, mss)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "foresight.json"


def oracle(path: Path, told: Foresight, flows: int = 2) -> Oracle:
    path.write_text(told.model_dump_json())
    return Oracle(PolicyContext(flows, path))


def mbps(tier: Oracle, at_ms: float, state: FlowBatch) -> float:
    return float(tier.decide(state, ZERO + int(at_ms * MS)).pacing_rate_bps[0] / 1e6)


def test_an_empty_queue_gets_the_mean_of_the_coming_windows(path: Path) -> None:
    tier = oracle(path, foresight([8, 8, 4, 100]))
    assert mbps(tier, 0, batch()) == pytest.approx(8)
    assert mbps(tier, 100, batch()) == pytest.approx(6)  # before the fall, not after


def test_what_is_in_flight_beyond_what_left_is_queued_and_drained(path: Path) -> None:
    tier = oracle(path, foresight([8] * 20))
    bdp = 8e6 / 8 * 0.05
    assert mbps(tier, 500, batch(inflight_bytes=bdp)) == pytest.approx(8)
    # 50 kB wait; 200 ms carry 200 kB
    assert mbps(tier, 500, batch(inflight_bytes=bdp + 50e3)) == pytest.approx(6)


def test_the_target_leaves_a_queue(path: Path) -> None:
    tier = oracle(path, foresight([8] * 20, settings=OracleSettings(target_delay_ms=10)))
    assert mbps(tier, 500, batch()) == pytest.approx(8.4)  # 10 kB more over 200 ms


def test_bytes_on_the_way_to_the_bottleneck_arrive_first(path: Path) -> None:
    """20 of 50 ms lie before it: what fits into these 20 ms is no queue, the next rate meets the
    trace from then on.
    """
    tier = oracle(path, foresight([8, 8, 4], upstream_delay_ns=20 * MS))
    in_flight = 8e6 / 8 * 0.05
    assert mbps(tier, 100, batch(inflight_bytes=in_flight)) == pytest.approx(
        (8 * 80 + 4 * 100) / 200
    )


def test_an_outage_asks_for_little_but_not_nothing(path: Path) -> None:
    tier = oracle(path, foresight([8, 0, 0, 0, 0, 8, 8]))
    assert 0.05 < mbps(tier, 200, batch()) < 0.2
    assert mbps(tier, 400, batch()) == pytest.approx(4)  # its end is foreseen


def test_without_acks_what_was_sent_counts_up_to_cwnd(path: Path) -> None:
    """Before the silence 10 kB were in flight; 100 ms at 0.8 Mbit/s add 10 kB each."""
    tier = oracle(path, foresight([8, 0, 0, 0, 0, 8, 8, 8]))
    tier.decide(batch(inflight_bytes=10e3, cwnd_bytes=25e3), ZERO + 200 * MS)
    silent = batch(acks=0, inflight_bytes=10e3, cwnd_bytes=25e3, asked_rate_bps=0.8e6)
    tier.decide(silent, ZERO + 300 * MS)
    assert mbps(tier, 500, silent) == pytest.approx(8 - 25e3 * 8 / 0.2 / 1e6)
    tier.forget([0])
    assert mbps(tier, 500, silent) == pytest.approx(8 - 10e3 * 8 / 0.2 / 1e6)


def test_flows_share_while_they_are_there(path: Path) -> None:
    told = foresight([8] * 20, flows=[(ZERO, 10**15), (ZERO + 500 * MS, ZERO + 900 * MS)])
    tier = oracle(path, told)
    assert mbps(tier, 400, batch(n=2)) == pytest.approx(8)
    actions = tier.decide(batch(n=2), ZERO + 600 * MS)
    assert actions.pacing_rate_bps == pytest.approx([4e6, 4e6])
    assert mbps(tier, 900, batch(n=2)) == pytest.approx(8)


def test_cwnd_leaves_the_rate_alone(path: Path) -> None:
    """While a queue drains cwnd has room for it and for what comes after."""
    tier = oracle(path, foresight([8] * 20))
    for inflight in (0.0, 50e3, 1e6):
        actions = tier.decide(batch(inflight_bytes=inflight), ZERO + 500 * MS)
        queued = max(inflight - 50e3, 0)
        assert actions.cwnd_packets[0] * MSS_BYTES > queued + 1.5 * 8e6 / 8 * 0.05


def test_the_gain_is_for_flows_that_the_application_limits(path: Path) -> None:
    tier = oracle(
        path, foresight([8] * 20, settings=OracleSettings(target_delay_ms=0, app_limited_gain=1.5))
    )
    assert mbps(tier, 0, batch()) == pytest.approx(8)
    assert mbps(tier, 0, batch(app_limited_share=0.7)) == pytest.approx(12)


def test_it_holds_until_it_is_told_and_when_the_cell_is_over(path: Path) -> None:
    tier = Oracle(PolicyContext(1, path))
    assert mbps(tier, 0, batch()) == 3
    path.write_text(foresight([8] * 9).model_dump_json())
    assert mbps(tier, 0, batch()) == pytest.approx(8)
    path.unlink()
    assert mbps(tier, 0, batch()) == 3
    path.write_text(foresight([5] * 9).model_dump_json())
    assert mbps(tier, 0, batch()) == pytest.approx(5)


def test_what_cannot_be_used_is_named(path: Path) -> None:
    with pytest.raises(PolicyError, match="must be told the trace"):
        Oracle(PolicyContext(1))
    path.write_text('{"zero_ns": 1}')
    with pytest.raises(PolicyError, match=r"foresight\.json: step_ns: Field required"):
        Oracle(PolicyContext(1, path)).decide(batch(), ZERO)


def test_it_needs_no_torch() -> None:
    code = "import sys, policy.tasks.congestion.policies.oracle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def run(
    path: Path, capacity_mbps: list[float], *, source: Source | None = None, rtt_ms: int = 40
) -> Outcome:
    """A closed loop over seconds of capacity, with a buffer that would hold 8 BDP."""
    capacity = np.repeat(np.array(capacity_mbps) * 1e6, 1000)[:, None]
    told = foresight(
        capacity_mbps,
        1000,
        zero_ns=0,
        base_rtt_ns=rtt_ms * MS,
        flows=[(0, 10**15)],
        settings=OracleSettings(target_delay_ms=5),
    )
    links = Links(capacity, np.array([rtt_ms]), np.array([8 * capacity.mean() * rtt_ms / 8e3]))
    return simulate(links, PolicyController(oracle(path, told), 1), 1000, source)


@pytest.mark.parametrize("rtt_ms", [20, 40, 160])
def test_a_constant_link_is_full_and_its_queue_on_target(path: Path, rtt_ms: int) -> None:
    outcome = run(path, [12] * 6, rtt_ms=rtt_ms)
    assert outcome.utilisation[0] > 0.98
    assert outcome.queueing_p95_ms[0] <= 10


@pytest.mark.parametrize(
    ("capacity", "p95_ms"), [([16, 16, 4, 4], 50), ([4, 4, 16, 16], 50), ([9, 9, 0, 9, 9], 100)]
)
def test_steps_and_an_outage_are_foreseen(path: Path, capacity: list[float], p95_ms: float) -> None:
    outcome = run(path, capacity)
    assert outcome.utilisation[0] > 0.9
    assert outcome.queueing_p95_ms[0] < p95_ms


def test_video_meets_no_queue_either(path: Path) -> None:
    outcome = run(path, [16, 16, 16, 4, 4, 4], source=Video(1, 6000))
    assert outcome.queueing_p95_ms[0] < 50
    assert outcome.utilisation[0] > 0.6
