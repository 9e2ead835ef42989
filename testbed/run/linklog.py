"""What the links of a cell did: their packets in one file, and their own account of how truthful
they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.files import TRACES, LinkEntry, Spread
from testbed.links.base import FORWARD, REVERSE, Direction, DirectionRecord, LinkRecord, Percentiles
from testbed.loss import format_loss, format_policer, format_reorder
from testbed.network import Network
from testbed.run.classify import ProgramFlow, assign

# Directions are numbered through all links: 2 x the link's index for forward, one more for reverse.


def stop_links(
    network: Network, folder: Path, programs: Sequence[ProgramFlow] = ()
) -> tuple[list[LinkRecord], pa.Table]:
    """Stop every emulated link, in order, and write packets.parquet; returns its table too.

    ``programs``: flows that are known by their hosts' addresses.
    """
    records = [link.link.stop() for link in network.links.values()]
    tables = [record.packets_numbered(2 * index) for index, record in enumerate(records)]
    packets = assign(pa.concat_tables(tables), programs)
    pq.write_table(packets, folder / "packets.parquet", compression="zstd")
    return records, packets


def describe_links(network: Network, records: list[LinkRecord]) -> list[LinkEntry]:
    """One entry per link and direction, for cell.json."""
    entries = []
    for opened, record in zip(network.links.values(), records, strict=True):
        for way, direction, account in (
            (FORWARD, opened.spec.forward, record.forward),
            (REVERSE, opened.spec.reverse, record.reverse),
        ):
            entries.append(
                LinkEntry(
                    link=2 * opened.index + way,
                    name=opened.name,
                    direction="forward" if way == FORWARD else "reverse",
                    bottleneck=opened.bottleneck
                    and (way == FORWARD or direction.capacity is not None),
                    backend=record.backend,
                    per_packet=record.per_packet,
                    environment=record.environment,
                    cpu_s=record.cpu_s,
                    warnings=list(record.warnings),
                    **_describe_direction(direction),
                    **_describe_account(account),
                )
            )
    return entries


def _describe_direction(direction: Direction) -> dict[str, Any]:
    return {
        "trace": f"{TRACES}/{direction.capacity.name}.parquet" if direction.capacity else None,
        "delay_ns": direction.delay_ns,
        "jitter_ns": direction.jitter_ns,
        "reorder": format_reorder(direction.reorder),
        "duplicate": direction.duplicate,
        "policer": format_policer(direction.policer),
        "wifi_ns": direction.wifi_ns,
        "queue": direction.queue.kind,
        "queue_options": direction.queue.parameters(),
        "limit_bytes": direction.queue.limit_bytes,
        "loss": format_loss(direction.loss),
        "seed": direction.seed,
    }


def _describe_account(account: DirectionRecord) -> dict[str, Any]:
    return {
        "step_lateness_ns": _percentiles(account.lateness_ns),
        "delay_error_ns": _percentiles(account.delay_error_ns),
        "rate_error": [round(float(error), 6) for error in account.rate_error],
    }


def _percentiles(value: Percentiles | None) -> Spread | None:
    return Spread(p50=value.p50, p99=value.p99) if value else None
