"""Live progress: which cell runs, for how long, and what its bottleneck or its flows do right
now.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from testbed.links.base import LinkSample
from testbed.run.flowtail import FlowNow, FlowTail
from testbed.units import NS_PER_MS, NS_PER_S

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60
_FLOW_WIDTH = 30
_MAX_FLOWS = 16  # lines of flows


def sparkline(values: Sequence[float], top: float) -> str:
    """One character per value, from blank (0) to full (``top`` and above)."""
    if top <= 0:
        return _BARS[0] * len(values)
    most, scale = len(_BARS) - 1, (len(_BARS) - 1) / top
    # As whole numbers before they are held against the ends: this runs for every flow and moment.
    levels = [int(value * scale + 0.5) for value in values]
    return "".join([_BARS[level if 0 <= level <= most else most * (level > 0)] for level in levels])


class LiveView:
    """Shows the run on a terminal; elsewhere prints one line per finished cell. A context
    manager.

    ``flows``: a line for each flow, as often as ``sample`` is called, instead of the bottleneck.
    """

    def __init__(self, cells: int, *, quiet: bool, flows: bool = False) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("cells", total=cells)
        self._rates: deque[float] = deque(maxlen=_WIDTH)
        self._delays: deque[float] = deque(maxlen=_WIDTH)
        self._last: LinkSample | None = None
        self._title = ""
        self._flows = FlowLines() if flows and self._console.is_terminal else None
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            # Flows are drawn when there is something new: a thread of its own would draw twice.
            auto_refresh=self._flows is None,
            refresh_per_second=5,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._flows is not None:
            self._flows.end()
        if self._console.is_terminal:
            self._live.__exit__(kind, error, trace)

    def begin(self, title: str, folder: Path) -> None:
        """A new cell: forget the last one's curves. ``folder``: where it logs."""
        self._title = title
        self._rates.clear()
        self._delays.clear()
        self._last = None
        if self._flows is not None:
            self._flows.begin(folder)

    def sample(self, sample: LinkSample, elapsed_ns: int) -> None:
        """Feed a reading of the bottleneck; rate and queueing delay follow from two in a row."""
        self._progress.update(
            self._task, description=f"{self._title}  {elapsed_ns / NS_PER_S:4.0f} s"
        )
        if self._flows is not None:
            self._flows.read(sample.at_ns)
            self._live.refresh()
            return
        last, self._last = self._last, sample
        if last is None or sample.at_ns <= last.at_ns:
            return
        delivered_bytes = sample.forward.delivered_bytes - last.forward.delivered_bytes
        rate_bps = delivered_bytes * 8 * NS_PER_S / (sample.at_ns - last.at_ns)
        backlog_ns = sample.forward.backlog_bytes * 8 * NS_PER_S / rate_bps if rate_bps > 0 else 0.0
        self._rates.append(rate_bps)
        self._delays.append(backlog_ns)

    def end(self, outcome: str) -> None:
        """The cell is over; ``outcome`` is one line."""
        if self._flows is not None:
            self._flows.end()
        self._progress.advance(self._task)
        self._console.print(f"{self._title}: {outcome}", highlight=False)

    def note(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, highlight=False)

    def _render(self) -> RenderableType:
        if self._flows is not None:
            task = self._progress.tasks[0]
            head = f"{task.description}   cell {task.completed + 1:.0f} of {task.total:.0f}"
            return _Plain([head, *self._flows.lines])
        if not self._rates or self._last is None:
            return self._progress
        rates, delays = list(self._rates), list(self._delays)
        dropped = self._last.forward.dropped_packets
        lines = [
            Text(
                f"rate    {rates[-1] / 1e6:8.2f} Mbit/s {sparkline(rates, max(rates))}",
                style="cyan",
            ),
            Text(
                f"queue   {delays[-1] / NS_PER_MS:8.0f} ms     "
                f"{sparkline(delays, max(*delays, 50.0 * NS_PER_MS))}",
                style="yellow",
            ),
            Text(
                f"backlog {self._last.forward.backlog_bytes / 1000:8.1f} kB      {dropped} packets "
                "dropped"
            ),
        ]
        return Group(*lines, self._progress)


class _Plain:
    """Lines as they are. Rich would spend more time on measuring and wrapping text than all the
    rest of the view takes.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield _Narrow(line[: options.max_width])
            yield Segment.line()


class _Narrow(Segment):
    """Text of which every character is one cell wide, as the bars are; Rich looks each up."""

    @property
    def cell_length(self) -> int:
        """See Segment."""
        return len(self.text)


class FlowLines:
    """A line of text for each flow: rate, queueing delay, losses, tier, and the rate's curve."""

    def __init__(self) -> None:
        self._tail: FlowTail | None = None
        self._curves: dict[int, deque[float]] = {}
        self.lines: list[str] = []

    def begin(self, folder: Path) -> None:
        """A cell begins to log into ``folder``."""
        self.end()
        self._tail = FlowTail(folder)

    def read(self, now_ns: int) -> None:
        """Take what the logs have gained."""
        if self._tail is not None:
            self.show(self._tail.read(now_ns))

    def show(self, flows: Sequence[FlowNow]) -> None:
        """Lines of these flows."""
        self.lines = ["flow     Mbit/s  queue ms  lost  tier"]
        for flow in flows[:_MAX_FLOWS]:
            curve = self._curves.setdefault(flow.flow, deque(maxlen=_FLOW_WIDTH))
            curve.append(flow.rate_bps)
            name = "other" if flow.flow < 0 else f"{flow.flow:5}"
            self.lines.append(
                f"{name} {flow.rate_bps / 1e6:9.2f} {flow.queue_ns / NS_PER_MS:9.1f} "
                f"{flow.lost_packets:5}  {flow.tier:10} {sparkline(curve, max(curve))}"
            )
        if len(flows) > _MAX_FLOWS:
            self.lines.append(f"and {len(flows) - _MAX_FLOWS} more")

    def end(self) -> None:
        """The cell is over."""
        if self._tail is not None:
            self._tail.close()
        self._tail = None
        self._curves.clear()
        self.lines = []
