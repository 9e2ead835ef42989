"""The text file that tells the relay what to emulate. The format is described in
docs/reference/links.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from testbed.links.base import Direction, LinkSpec, Queue
from testbed.links.impairments import Loss

if TYPE_CHECKING:
    from traces.model import Trace

MAX_RATE_BPS = 1e12  # the relay's limit


def write_spec(path: Path, spec: LinkSpec, log_path: Path) -> None:
    """Writes `spec` for the relay, which will log every packet to `log_path`."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"tbtest-relay 1\nlog {log_path}\n")
        for direction in (spec.forward, spec.reverse):
            file.writelines(line + "\n" for line in _direction(direction))
        file.write("end\n")


def _direction(direction: Direction) -> Iterator[str]:
    loss = direction.loss or Loss()
    yield "direction"
    yield _queue(direction.queue)
    yield f"policer {direction.policer.rate_bps!r} {direction.policer.burst_bytes}"
    yield f"wifi {direction.wifi_ns}"
    yield f"delay {direction.delay_ns}"
    yield f"jitter {direction.jitter_ns}"
    yield f"loss {loss.p_good_bad!r} {loss.p_bad_good!r} {loss.loss_good!r} {loss.loss_bad!r}"
    yield f"reorder {direction.reorder.chance!r} {direction.reorder.delay_ns}"
    yield f"duplicate {direction.duplicate!r}"
    yield f"seed {_signed(direction.seed)}"
    if direction.capacity is None:
        yield "capacity unlimited"
    else:
        yield from _capacity(direction.capacity)


def _queue(queue: Queue) -> str:
    limit, ecn = queue.limit_bytes, int(queue.ecn)
    codel = f"{limit} {queue.target_ns} {queue.interval_ns} {ecn}"
    control = f"{limit} {queue.target_ns} {queue.tupdate_ns}"
    if queue.kind == "codel":
        return f"queue codel {codel}"
    if queue.kind == "fq_codel":
        return f"queue fq_codel {codel} {queue.flows} {queue.quantum}"
    if queue.kind == "pie":
        return f"queue pie {control} {queue.alpha / 16!r} {queue.beta / 16!r} {ecn}"
    if queue.kind == "dualpi2":
        return (
            f"queue dualpi2 {control} {queue.alpha / 256!r} {queue.beta / 256!r} {ecn} "
            f"{queue.coupling_factor} {queue.step_thresh_ns} {queue.classic_protection}"
        )
    return f"queue droptail {limit}"


def _signed(seed: int) -> int:
    """Any seed folded into a signed 64-bit integer."""
    return (seed + 2**63) % 2**64 - 2**63


def _capacity(trace: Trace) -> Iterator[str]:
    period_ns = trace.period_ns or 0
    if trace.opportunities is not None:
        # Before time zero an opportunity trace runs at its mean rate.
        before_bps = min(trace.mean_bps(), MAX_RATE_BPS)
        yield f"capacity opportunities {len(trace.opportunities.at_ns)} {period_ns} {before_bps!r}"
        columns = zip(
            trace.opportunities.at_ns.tolist(), trace.opportunities.size_bytes.tolist(), strict=True
        )
        yield from (f"{at_ns} {size_bytes}" for at_ns, size_bytes in columns)
        return
    steps = trace.steps
    assert steps is not None
    count = len(steps.start_ns)
    delay_ns = np.zeros(count, np.int64) if steps.delay_ns is None else steps.delay_ns
    loss = np.zeros(count) if steps.loss is None else steps.loss
    yield f"capacity steps {count} {period_ns}"
    rows = zip(
        steps.start_ns.tolist(),
        steps.capacity_bps.tolist(),
        delay_ns.tolist(),
        loss.tolist(),
        strict=True,
    )
    yield from (f"{start} {rate!r} {delay} {lost!r}" for start, rate, delay, lost in rows)
