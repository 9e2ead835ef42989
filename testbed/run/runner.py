"""A whole run: cells in order, the manifest kept true after each, the report at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from analysis.files import (
    CELL,
    CELLS,
    MANIFEST,
    SCHEMA,
    TRACES,
    CellEntry,
    CellRecord,
    Manifest,
    TraceEntry,
    to_json,
    trace_sha256,
)
from testbed import units
from testbed.errors import UserError, explain
from testbed.links.base import LinkSample
from testbed.run.cell import run_cell
from testbed.run.default import as_this_machine_can
from testbed.run.environment import describe_environment
from testbed.run.files import new_run_folder, write_json
from testbed.run.hold import hold
from testbed.run.live import LiveView
from testbed.run.plan import CellPlan, plan_cells
from testbed.run.preflight import check_machine
from testbed.run.prepared import Prepared, require_root, resolve
from testbed.scenario import Scenario
from testbed.system.process import ProcessFailed
from testbed.system.scope import Scope, new_run_id
from traces.model import Trace
from traces.parquet import write_parquet


def describe(scenario: Scenario) -> dict[str, Any]:
    """What a run would create, for --dry-run. Raises UserError as the run itself would."""
    prepared = resolve(scenario)
    cells = plan_cells(scenario)
    topology = prepared.topology
    links = [
        f"{a} - {b}" + (f" (emulated: {info['emulated'].name})" if info.get("emulated") else "")
        for a, b, info in topology.links(withInfo=True)
    ]
    seconds = len(cells) * scenario.duration_ns / units.NS_PER_S
    return {
        "trace": f"{prepared.trace.name}, mean {prepared.trace.mean_bps() / 1e6:.3f} Mbit/s",
        "buffer_bytes": prepared.buffer_bytes,
        "link_backend": prepared.backend.name,
        "traffic_seconds": seconds,
        "namespaces per cell": list(topology.nodes()),
        "links per cell": links,
        "cells": [f"{cell.folder}, seed {cell.seed}" for cell in cells],
        "warnings": list(prepared.warnings),
    }


class _Manifest:
    """manifest.json, rewritten after every change, so that it always says how far the run got."""

    def __init__(
        self, folder: Path, run_id: str, prepared: Prepared, cells: list[CellPlan]
    ) -> None:
        self._path = folder / MANIFEST
        self._checkpoints: dict[str, str] = {}
        self._cells = [
            CellEntry(
                folder=cell.folder,
                cc=cell.label,
                abr=cell.abr_label,
                scheduler=cell.scheduler_label,
                repeat=cell.repeat,
                seed=cell.seed,
                status="planned",
            )
            for cell in cells
        ]
        back = prepared.reverse.capacity
        self._record = Manifest(
            schema=SCHEMA,
            run_id=run_id,
            status="running",
            scenario=json.loads(prepared.scenario.model_dump_json(by_alias=True)),
            trace=_trace_entry(prepared.trace),
            reverse_trace=_trace_entry(back) if back is not None else None,
            buffer_bytes=prepared.buffer_bytes,
            link_backend=prepared.backend.name,
            environment=describe_environment(),
            cells=self._cells,
        )
        self._write()

    def cell(self, plan: CellPlan, status: str) -> None:
        self._set(plan.index, status)
        self._write()

    def done(self, plan: CellPlan, record: CellRecord) -> None:
        """The cell is done; which checkpoints could answer its flows is noted."""
        for tier, identity in record.checkpoints.items():
            known = self._checkpoints.get(tier, "").split()
            self._checkpoints[tier] = " ".join(dict.fromkeys([*known, *identity.split()]))
        self.cell(plan, "done")

    def finish(self, status: str) -> None:
        self._record = self._record.model_copy(update={"status": status})
        for index, cell in enumerate(self._cells):
            if cell.status == "running":
                self._set(index, status)
        self._write()

    def _set(self, index: int, status: str) -> None:
        self._cells[index] = self._cells[index].model_copy(update={"status": status})

    def _write(self) -> None:
        changes = {"cells": self._cells, "checkpoints": self._checkpoints}
        self._record = self._record.model_copy(update=changes)
        write_json(self._path, to_json(self._record))


def _trace_entry(trace: Trace) -> TraceEntry:
    return TraceEntry(
        name=trace.name, file=f"{TRACES}/{trace.name}.parquet", sha256=trace_sha256(trace)
    )


@contextmanager
def _finished(manifest: _Manifest) -> Iterator[None]:
    """Whatever happens inside, the manifest says how it ended."""
    try:
        yield
    except KeyboardInterrupt:
        manifest.finish("interrupted")
        raise
    except BaseException:
        manifest.finish("failed")
        raise
    manifest.finish("done")


def execute(
    scenario: Scenario,
    *,
    out: Path | None,
    as_json: bool,
    keep: bool = False,
    live: bool = False,
) -> Path:
    """Run every cell, build the report, print the result; returns the run folder. ``keep``: the
    only cell's network stands until the user has looked around. ``live``: show every flow.

    Raises UserError; a cell that fails does not stop the others, but makes the run end with an
    error.
    """
    require_root()
    scenario, reason = as_this_machine_can(scenario)
    if reason:
        click.echo(f"without policy: {reason}", err=True)
    cells = len(plan_cells(scenario))
    if keep and cells > 1:
        raise UserError(
            f"--hold keeps one cell and the scenario has {cells}; name one controller with --cc "
            "and leave repeats at 1"
        )
    prepared = resolve(scenario)
    run_id = new_run_id()
    folder = new_run_folder(out, run_id)
    failures = run_cells(prepared, run_id, folder, quiet=as_json, keep=keep, live=live)
    if len(failures) == cells:
        raise UserError(f"every cell failed; the first: {failures[0]}; logs: {folder}")
    from testbed.run.show import (
        build_and_show,
    )  # late: pandas and plotly are not for the time of the traffic

    build_and_show(folder, as_json)
    if failures:
        raise UserError(f"{len(failures)} of {cells} cells failed; the first: {failures[0]}")
    return folder


def run_cells(
    prepared: Prepared,
    run_id: str,
    folder: Path,
    *,
    quiet: bool,
    on_sample: Callable[[LinkSample, int], None] | None = None,
    keep: bool = False,
    live: bool = False,
) -> list[str]:
    """Run the cells into ``folder``; returns what went wrong with those that failed.

    ``on_sample``: as in ``run_cell``, instead of the live view's; called in the main thread.
    ``keep``: hold the network of each cell after its traffic. ``live``: a terminal shows every
    flow, ten times a second.
    """
    check_machine(prepared)
    cells = plan_cells(prepared.scenario)
    for trace in (prepared.trace, prepared.reverse.capacity):
        if trace is not None:
            write_parquet(trace, folder / TRACES / f"{trace.name}.parquet")
    manifest = _Manifest(folder, run_id, prepared, cells)
    failures: list[str] = []
    view = LiveView(len(cells), quiet=quiet, flows=live)
    with _finished(manifest), Scope(run_id) as scope, view:
        for controller in prepared.controllers.values():
            controller.prepare(scope, folder)
        asks = any(options.asked() for options in prepared.flow_options.values())
        policy_server = prepared.server.address(scope, folder) if asks else ""
        for plan in cells:
            manifest.cell(plan, "running")
            names = (plan.label, plan.abr_label, plan.scheduler_label, f"r{plan.repeat}")
            title = " ".join(name for name in names if name)
            view.begin(title, folder / CELLS / plan.folder)
            try:
                after = partial(hold, view.note) if keep else None
                sample = on_sample or view.sample
                record = _run_and_write(scope, prepared, plan, folder, sample, policy_server, after)
            except ProcessFailed as error:
                failures.append(f"{plan.folder}: {error}")
                manifest.cell(plan, "failed")
                view.end(f"failed: {error}")
            else:
                manifest.done(plan, record)
                view.end("done")
    return failures


def _run_and_write(
    scope: Scope,
    prepared: Prepared,
    plan: CellPlan,
    folder: Path,
    on_sample: Callable[[LinkSample, int], None],
    policy_server: str,
    after_traffic: Callable[[], None] | None,
) -> CellRecord:
    cell_folder = folder / CELLS / plan.folder
    try:
        cell_folder.mkdir()
        record = run_cell(
            scope,
            prepared,
            plan,
            prepared.controllers[plan.cc],
            cell_folder,
            on_sample,
            policy_server,
            after_traffic,
        )
    except OSError as error:
        raise UserError(explain(error, cell_folder)) from error
    write_json(cell_folder / CELL, to_json(record))
    return record
