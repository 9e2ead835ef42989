"""What happens to a flow under ``policy:gcc`` when parts of the control loop fail.

``python -m bench.faults [--out DIR] [FAULT ...]`` runs one cell per fault, writes a run folder for
each (``tbtest report`` shows the timeline) and prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from analysis.report import build
from bench.fault_rig import FAULTS, Rig
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import Scenario
from testbed.system.scope import new_run_id

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Span:
    """``tier`` held the flow from ``start_ns`` to ``stop_ns``."""

    tier: str
    start_ns: int
    stop_ns: int


def run(rig: Rig, folder: Path, duration_s: float) -> str:
    """One bulk flow of 12 Mbit/s with the rig's fault; returns the run's id. Raises UserError."""
    scenario = Scenario.model_validate(
        {"cc": [rig.name], "rate": "12mbit", "flow": "bulk", "duration": f"{duration_s}s"}
    )
    prepared = replace(resolve(scenario), controllers={rig.name: rig})
    run_id = new_run_id()
    failures = run_cells(
        prepared, run_id, new_run_folder(folder, run_id), quiet=True, on_sample=rig.step
    )
    if failures:
        raise RuntimeError(failures[0])
    return run_id


@dataclass(frozen=True)
class Outcome:
    """The logs of a run with a fault, times in ns of the monotonic clock."""

    events: pd.DataFrame
    decisions: pd.DataFrame
    acks: pd.DataFrame
    goodput: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Outcome:
        """Of the run's only cell."""
        (cell,) = (folder / "cells").iterdir()
        tables = ("events", "decisions", "acks", "goodput")
        return cls(*(pd.read_parquet(cell / f"{table}.parquet") for table in tables))

    def times(self, event: str) -> list[int]:
        """When this event was logged."""
        return [int(at_ns) for at_ns in self.events.loc[self.events["event"] == event, "at_ns"]]

    @property
    def fault_ns(self) -> int:
        """When the fault was made."""
        return self.times("fault")[0]

    def goodput_bps(self, from_ns: int, to_ns: int) -> float:
        """Mean rate of what the receiver's application got."""
        log = self.goodput.set_index("at_ns")["received_bytes"].sort_index()
        received = [int(log.loc[:at_ns].iloc[-1]) for at_ns in (from_ns, to_ns)]
        return 8 * (received[1] - received[0]) * NS_PER_S / (to_ns - from_ns)

    def in_force(self) -> list[Span]:
        """Who held the flow, in order, from its first decision to the end of the log, by the events
        alone.
        """
        stop_ns = int(self.acks["at_ns"].max())
        tier, holder, since_ns = "kernel", "", 0
        spans: list[Span] = []
        events = self.events.sort_values("at_ns", kind="stable")
        for at_ns, event, detail in zip(
            events["at_ns"], events["event"], events["detail"], strict=True
        ):
            if event == "tier":
                tier = now = str(detail)
            elif event == "control":
                now = tier if detail == "agent" else str(detail)
            else:
                continue
            if now != holder:
                if holder:
                    spans.append(Span(holder, since_ns, int(at_ns)))
                holder, since_ns = now, int(at_ns)
        return [*spans, Span(holder, since_ns, stop_ns)]


def row(name: str, outcome: Outcome) -> str:
    """A line of the table."""
    fault_ns = outcome.fault_ns
    repaired = outcome.times("repaired")
    spans = [span for span in outcome.in_force() if span.stop_ns > fault_ns]
    held = ", ".join(
        f"{span.tier} {(span.stop_ns - max(span.start_ns, fault_ns)) / 1e6:.0f}"
        for span in spans[:-1]
    )
    ends = f"{(repaired[0] - fault_ns) / 1e6:.0f}" if repaired else "–"
    before = outcome.goodput_bps(fault_ns - NS_PER_S, fault_ns) / 1e6
    after = outcome.goodput_bps(fault_ns, fault_ns + NS_PER_S) / 1e6
    return (
        f"| {name} | {ends} | {held + ', ' if held else ''}{spans[-1].tier} | {before:.2f} | "
        f"{after:.2f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        description="run a flow through faults of server, agent and wire"
    )
    parser.add_argument(
        "fault", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; default: all"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/faults"), help="folder of the run folders"
    )
    parser.add_argument("--duration", type=float, default=8.0, metavar="S", help="of each cell")
    options = parser.parse_args(arguments)
    unknown = set(options.fault) - set(FAULTS)
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; known: {', '.join(FAULTS)}")
    rows: list[str] = []
    abuse: dict[str, object] = {}
    for name in options.fault or FAULTS:
        folder = options.out / name
        rig = Rig(FAULTS[name])
        run(rig, folder, options.duration)
        build(folder)
        rows.append(row(name, Outcome.read(folder)))
        abuse |= rig.abuse
    print(
        "| fault | until repair, ms | in force from the fault on, ms | goodput 1 s before, Mbit/s "
        "| 1 s after |"
    )
    print("|---|---|---|---|---|")
    print("\n".join(rows))
    for kind, answer in abuse.items():
        print(f"{kind}: {answer}")


if __name__ == "__main__":
    main()
