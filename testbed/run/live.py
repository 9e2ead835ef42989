"""Live progress: which cell runs, for how long, and what its bottleneck does right now."""

from __future__ import annotations

import sys
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from testbed.links.base import LinkSample
from testbed.units import NS_PER_MS, NS_PER_S

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60


def sparkline(values: list[float], top: float) -> str:
    """One character per value, from blank (0) to full (``top`` and above)."""
    scale = (len(_BARS) - 1) / top if top > 0 else 0.0
    return "".join(_BARS[min(len(_BARS) - 1, round(max(0.0, value) * scale))] for value in values)


class LiveView:
    """Shows the run on a terminal; elsewhere prints one line per finished cell. A context
    manager.
    """

    def __init__(self, cells: int, *, quiet: bool) -> None:
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
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=5, transient=True
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
        if self._console.is_terminal:
            self._live.__exit__(kind, error, trace)

    def begin(self, title: str) -> None:
        """A new cell: forget the last one's curves."""
        self._title = title
        self._rates.clear()
        self._delays.clear()
        self._last = None

    def sample(self, sample: LinkSample, elapsed_ns: int) -> None:
        """Feed a reading of the bottleneck; rate and queueing delay follow from two in a row."""
        self._progress.update(
            self._task, description=f"{self._title}  {elapsed_ns / NS_PER_S:4.0f} s"
        )
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
        self._progress.advance(self._task)
        self._console.print(f"{self._title}: {outcome}", highlight=False)

    def note(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, highlight=False)

    def _render(self) -> RenderableType:
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
