"""How exact the emulated links are on this machine.

    sudo .venv/bin/python -P bench/link.py [--backend relay] [--trace att.down.gz] [--seconds 10]
    [--json]

Packets go from one namespace over the link to another. Delays are measured from the sender's clock
to the kernel's stamp at the receiver, both CLOCK_MONOTONIC; nothing but the trace's times is taken
from the link itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import click
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from analysis.files import LOST
from bench.link_rig import MS, PACKET_BYTES, Range, Shot
from testbed.links.base import (
    DELIVERED,
    FORWARD,
    Direction,
    LinkBackend,
    Queue,
)
from testbed.links.measure import WINDOW_NS, backlogged_windows
from testbed.links.queues import QueueKind
from testbed.links.relay.backend import RelayBackend
from testbed.links.tc.backend import TcBackend
from testbed.links.tc.probe import missing_features
from testbed.system.scope import Scope
from traces import Steps, Trace, constant, load

DELAY_NS = 20 * MS
Row = dict[str, Any]


def _windows(shot: Shot, trace: Trace) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bytes received in each 100 ms window, and the trace's."""
    edges_ns = np.arange(0, shot.duration_ns + 1, WINDOW_NS)
    positions = np.searchsorted(np.sort(shot.received_ns), edges_ns + shot.zero_ns)
    return np.diff(positions) * float(PACKET_BYTES), np.asarray(
        trace.capacity_bytes(edges_ns[:-1], edges_ns[1:])
    )


def _window_errors(shot: Shot, trace: Trace) -> Row:
    received, capacity = _windows(shot, trace)
    had = capacity > 0
    errors = np.abs(received[had] - capacity[had]) / capacity[had] * 100
    return {
        "total_error_pct": float((received.sum() / capacity.sum() - 1) * 100),
        **{
            f"window_error_{name}_pct": value
            for name, value in _percentiles(errors, 50, 95, 100).items()
        },
    }


def _percentiles(values: npt.NDArray[Any], *at: float) -> dict[str, float]:
    found = np.percentile(values, at) if len(values) else np.full(len(at), np.nan)
    names = ["max" if p == 100 else f"p{p:g}" for p in at]
    return {name: float(value) for name, value in zip(names, found, strict=True)}


def _load(shot: Shot) -> Row:
    return {
        "cpu_cores": shot.cpu,
        "cpu_per_mbps": shot.cpu / shot.received_mbps,
        "steal_cores": shot.steal,
        "warnings": list(shot.record.warnings),
    }


def constant_rate(range_: Range, backend: LinkBackend, seconds: float) -> Row:
    """Half as much again is offered to a link of 12 Mbit/s."""
    trace = constant(12e6)
    shot = range_.shoot(
        backend, Direction(capacity=trace, queue=Queue(limit_bytes=60_000)), 18e6, seconds
    )
    return {"case": "constant 12 Mbit/s", **_window_errors(shot, trace), **_load(shot)}


def trace_changes(range_: Range, backend: LinkBackend, seconds: float, per_s: int) -> Row:
    """A rate drawn from 1 to 50 Mbit/s so many times a second; 65 Mbit/s are offered."""
    count = int(seconds * per_s)
    rates_bps = np.random.default_rng(1).uniform(1e6, 50e6, count)
    trace = Trace("changes", None, Steps(np.arange(count) * (1_000_000_000 // per_s), rates_bps))
    shot = range_.shoot(
        backend, Direction(capacity=trace, queue=Queue(limit_bytes=500_000)), 65e6, seconds
    )
    return {"case": f"1-50 Mbit/s, {per_s} changes/s", **_window_errors(shot, trace), **_load(shot)}


def added_delay(range_: Range, backend: LinkBackend, seconds: float, mbps: int) -> Row:
    """A link of unlimited capacity that only delays."""
    shot = range_.shoot(backend, Direction(delay_ns=DELAY_NS), mbps * 1e6, seconds)
    errors_ms = (shot.received_ns - shot.sent_ns - DELAY_NS) / MS
    named = {
        f"delay_error_{name}_ms": value
        for name, value in _percentiles(errors_ms, 50, 99, 99.9).items()
    }
    return {
        "case": f"20 ms at {mbps} Mbit/s",
        "lost": shot.sent - len(shot.sent_ns),
        **named,
        **_load(shot),
    }


def loss_free_rate(range_: Range, backend: LinkBackend, seconds: float) -> Row:
    """The highest rate, in steps of 100 Mbit/s, at which a delay link loses nothing."""
    row: Row = {"case": "highest loss-free rate", "mbps": 0}
    for mbps in range(200, 2001, 100):
        shot = range_.shoot(backend, Direction(delay_ns=DELAY_NS), mbps * 1e6, min(seconds, 3))
        if len(shot.sent_ns) < shot.sent or shot.received_mbps < 0.98 * mbps:
            break
        row = {"case": "highest loss-free rate", "mbps": mbps, **_load(shot)}
    return row


def through_queue(range_: Range, backend: LinkBackend, seconds: float, kind: QueueKind) -> Row:
    """400 Mbit/s through a queue discipline that has no reason to drop: what is lost, the relay was
    too slow for, or the discipline dropped when the relay came back to a backlog.
    """
    queue = Queue.of(kind, 30_000_000, {}, ecn=True)
    direction = Direction(capacity=constant(2e9), queue=queue, delay_ns=DELAY_NS)
    shot = range_.shoot(backend, direction, 400e6, min(seconds, 3))
    packets = shot.record.packets
    packets = packets.filter(pc.equal(packets["size_bytes"], PACKET_BYTES))
    verdicts, arrived_ns = packets["verdict"].to_numpy(), packets["enqueue_ns"].to_numpy()
    return {
        "case": f"400 Mbit/s through {kind}",
        "lost": shot.sent - len(shot.sent_ns),
        "dropped": int(np.isin(verdicts, LOST).sum()),
        "longest_stop_ms": float(np.diff(arrived_ns).max() / MS),
        **_load(shot),
    }


def opportunities(range_: Range, backend: LinkBackend, seconds: float, trace: Trace) -> Row:
    """A trace of delivery opportunities with the queue never empty: lateness of departures, bytes
    per window.
    """
    offered_bps = max(2 * trace.mean_bps(), 10e6)
    direction = Direction(capacity=trace, queue=Queue(limit_bytes=3_000_000))
    shot = range_.shoot(backend, direction, offered_bps, seconds)
    row: Row = {"case": f"{trace.name}, mean {trace.mean_bps() / 1e6:.1f} Mbit/s"}
    if shot.record.per_packet:
        row |= _opportunity_errors(shot, trace)
    else:
        row |= _window_errors(shot, trace)
    return {**row, **_load(shot)}


def _opportunity_errors(shot: Shot, trace: Trace) -> Row:
    packets = shot.record.packets
    own = pc.and_(pc.equal(packets["link"], FORWARD), pc.equal(packets["size_bytes"], PACKET_BYTES))
    packets = packets.filter(pc.and_(own, pc.equal(packets["verdict"], DELIVERED)))
    packets = packets.slice(
        0, len(shot.received_ns)
    )  # the link goes on after the receiver has ended
    enqueue_ns, due_ns = packets["enqueue_ns"].to_numpy(), packets["due_ns"].to_numpy()
    if len(due_ns) != len(shot.received_ns) or (enqueue_ns < shot.sent_ns).any():
        raise click.ClickException(
            "the link's log and the receiver's do not tell of the same packets"
        )
    during = due_ns >= shot.zero_ns
    lateness_ms = (shot.received_ns - due_ns)[during] / MS
    sizes = np.full(len(due_ns), PACKET_BYTES)
    windows = backlogged_windows(enqueue_ns, shot.received_ns, sizes, trace, shot.zero_ns, due_ns)
    exact = windows.served_bytes == windows.capacity_bytes
    return {
        **{
            f"lateness_{name}_ms": value
            for name, value in _percentiles(lateness_ms, 50, 99, 99.9).items()
        },
        "exact_windows_pct": float(exact.mean() * 100),
        "windows": len(exact),
        "total_error_pct": float(
            (windows.served_bytes.sum() / windows.capacity_bytes.sum() - 1) * 100
        ),
    }


def cases(
    range_: Range, backend: LinkBackend, trace: Trace, seconds: float, delays: bool
) -> Iterator[Row]:
    yield constant_rate(range_, backend, seconds)
    for per_s in (10, 100, 1000):
        yield trace_changes(range_, backend, seconds, per_s)
    yield opportunities(range_, backend, 3 * seconds, trace)
    if delays:
        for mbps in (10, 50, 200):
            yield added_delay(range_, backend, seconds, mbps)
        yield loss_free_rate(range_, backend, seconds)
    if backend.name == "relay":
        for kind in get_args(QueueKind):
            yield through_queue(range_, backend, seconds, kind)


# What a row may hold, for people: label, keys, unit.
SHOWN: list[tuple[str, list[str], str]] = [
    ("sum off by", ["total_error_pct"], "%"),
    (
        "100 ms windows off by p50/p95/max",
        [f"window_error_{p}_pct" for p in ("p50", "p95", "max")],
        "%",
    ),
    ("100 ms windows exact", ["exact_windows_pct"], "%"),
    (
        "departures late by p50/p99/p99.9",
        [f"lateness_{p}_ms" for p in ("p50", "p99", "p99.9")],
        "ms",
    ),
    ("delay off by p50/p99/p99.9", [f"delay_error_{p}_ms" for p in ("p50", "p99", "p99.9")], "ms"),
    ("lost", ["lost"], "packets"),
    ("of which dropped by the queue", ["dropped"], "packets"),
    ("longest time without a packet", ["longest_stop_ms"], "ms"),
    ("", ["mbps"], "Mbit/s"),
]


def _result(row: Row) -> str:
    lines = []
    for label, keys, unit in SHOWN:
        if keys[0] in row:
            lines.append(f"{label} {' / '.join(f'{row[key]:.3g}' for key in keys)} {unit}".strip())
    return "\n".join(lines)


def _table(name: str, rows: list[Row]) -> Table:
    table = Table("case", "result", title=f"{name}, from end to end", show_lines=True)
    table.add_column("CPU, % of a core", justify="right")
    table.add_column("per Mbit/s", justify="right")
    table.add_column("steal, % of a core", justify="right")
    for row in rows:
        load = [
            f"{row[key] * 100:.{digits}f}" if key in row else "" for key, digits in LOADS.items()
        ]
        table.add_row(row["case"], _result(row), *load)
    return table


LOADS = {"cpu_cores": 0, "cpu_per_mbps": 2, "steal_cores": 1}


@click.command()
@click.option(
    "--backend", "names", multiple=True, type=click.Choice(["relay", "tc"]), help="Default: both."
)
@click.option(
    "--trace",
    "trace_name",
    default="lte-driving",
    help="Opportunity trace: bundled name or Mahimahi file.",
)
@click.option(
    "--seconds", default=10.0, type=click.FloatRange(min=1), help="Length of each measurement."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def main(names: tuple[str, ...], trace_name: str, seconds: float, as_json: bool) -> None:
    """Measures rate, delay and loss errors of the link backends."""
    trace = load(trace_name)
    results: dict[str, list[Row]] = {}
    console = Console(stderr=True)
    with Scope() as scope:
        range_ = Range(scope)
        for name in names or ("relay", "tc"):
            backend: LinkBackend = RelayBackend() if name == "relay" else TcBackend()
            delays = name == "relay" or not missing_features()
            if not delays:
                console.print(f"tc: no delays, as {backend.unavailable()}")
            results[name] = []
            for row in cases(range_, backend, trace, seconds, delays):
                results[name].append(row)
                console.print(f"{name}: {row['case']}", style="dim")
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    for name, rows in results.items():
        Console(width=None if console.is_terminal else 160).print(_table(name, rows))


if __name__ == "__main__":
    main()
