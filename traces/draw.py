"""Drawing a trace: block characters for a terminal, and a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from traces.forms import Float64s
from traces.model import Trace
from traces.statistics import rates_bps

_BLOCKS = " ▁▂▃▄▅▆▇█"
_MAX_POINTS = 6000


def text_chart(trace: Trace, width: int, height: int = 10) -> list[str]:
    """Mean rate per column over the described span as lines of text, with a scale in Mbit/s at the
    left.
    """
    rates = rates_bps(trace, max(1, trace.duration_ns // width))[:width] / 1e6
    if not rates.any():  # its one opportunity lies at the very end, beyond the last whole column
        rates = rates_bps(trace, trace.duration_ns) / 1e6
    top = _round_up(float(rates.max()))
    eighths = np.rint(rates / top * height * 8).astype(int)
    # What is not zero must be seen.
    eighths[(rates > 0) & (eighths == 0)] = 1
    lines = []
    for row in reversed(range(height)):
        cells = "".join(_BLOCKS[int(np.clip(value - row * 8, 0, 8))] for value in eighths)
        label = f"{top:g}" if row == height - 1 else "0" if row == 0 else ""
        lines.append(f"{label:>8} │{cells}")
    end = f"{trace.duration_ns / 1e9:g} s"
    lines.append(f"{'Mbit/s':>8} └{'─' * len(rates)}")
    lines.append(f"{'':>8}  0{end:>{max(len(rates) - 1, len(end) + 1)}}")
    return lines


def write_html(trace: Trace, window_ns: int, path: Path) -> None:
    """The trace as an interactive plot: capacity, and delay and loss where it has them. Raises
    OSError.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rates = rates_bps(trace, window_ns) / 1e6
    rows: list[tuple[str, Float64s, Float64s]] = [
        ("capacity (Mbit/s)", np.arange(len(rates)) * window_ns / 1e9, rates)
    ]
    steps = trace.steps
    if steps is not None and steps.delay_ns is not None:
        rows.append(("one-way delay (ms)", steps.start_ns / 1e9, steps.delay_ns / 1e6))
    if steps is not None and steps.loss is not None:
        rows.append(("loss (%)", steps.start_ns / 1e9, steps.loss * 100))
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, (title, seconds, values) in enumerate(rows, start=1):
        seconds, values = np.append(seconds, trace.duration_ns / 1e9), np.append(values, values[-1])
        line = go.Scatter(
            x=seconds, y=values, mode="lines", line={"shape": "hv", "width": 1.3}, name=title
        )
        figure.add_trace(line, row=row, col=1)
        figure.update_yaxes(title_text=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title_text="time (s)", row=len(rows), col=1)
    mean = f"mean {trace.mean_bps() / 1e6:.2f} Mbit/s in windows of {window_ns / 1e6:g} ms"
    figure.update_layout(
        title=f"{trace.name}<br><sub>{mean}</sub>",
        template="simple_white",
        showlegend=False,
        height=220 + 200 * len(rows),
    )
    figure.write_html(
        path, include_plotlyjs=True, config={"displaylogo": False, "responsive": True}
    )


def default_window_ns(trace: Trace) -> int:
    """The window of statistics: 100 ms, so that short outages count; 1 ms below a second."""
    return 100_000_000 if trace.duration_ns >= 1_000_000_000 else 1_000_000


def plot_window_ns(trace: Trace, window_ns: int) -> int:
    """The window of a plot: `window_ns`, longer where that would be too many points."""
    return max(window_ns, trace.duration_ns // _MAX_POINTS)


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    scale = 10.0 ** np.floor(np.log10(value))
    return next(
        (float(nice * scale) for nice in (1, 1.5, 2, 3, 4, 5, 6, 8) if nice * scale >= value),
        10 * scale,
    )
