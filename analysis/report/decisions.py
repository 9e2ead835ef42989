"""What a policy asked for, over a cell's time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.report.palette import PALETTE
from analysis.run import Cell


def timelines(cells: Sequence[Cell]) -> list[tuple[str, str, go.Figure]]:
    """(name, title, figure) for each cell that ran under a policy: the rate that was asked for, by
    the tier that answered, and what happened.
    """
    found = []
    for cell in cells:
        decisions, events = cell.log("decisions"), cell.log("events")
        if not len(decisions):
            continue
        figure = go.Figure()
        for index, (tier, rows) in enumerate(
            decisions.dropna(subset=["applied_ns"]).groupby("tier")
        ):
            figure.add_scatter(
                x=np.round((rows["applied_ns"] - cell.start_ns) / 1e9, 3),
                y=np.round(rows["pacing_rate_bps"] / 1e6, 3),
                mode="markers",
                name=str(tier),
                marker={"size": 5, "color": PALETTE[index % len(PALETTE)]},
            )
        # The points' colours show which tier answered.
        during = events[(events["at_ns"] >= cell.start_ns) & (events["event"] != "tier")]
        mark(figure, (during["at_ns"] - cell.start_ns) / 1e9, during["event"])
        figure.update_xaxes(title="s")
        figure.update_yaxes(title="rate asked, Mbit/s", rangemode="tozero")
        found.append((f"decisions-{cell.folder.name}", cell.cc, figure))
    return found


def mark(figure: go.Figure, at_s: pd.Series[float], texts: pd.Series[str]) -> None:
    """A dotted line with its text at each time. All at once: `add_vline` looks at every line that
    is there, which takes half a minute for seventy.
    """
    marks = list(zip(at_s.tolist(), texts.tolist(), strict=True))
    line = {"width": 1, "dash": "dot", "color": "#999999"}
    place = {"xref": "x", "yref": "y domain"}
    text_at = {"y": 1, "xanchor": "left", "yanchor": "top", "showarrow": False, "textangle": -90}
    figure.update_layout(
        shapes=[
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line, **place}
            for at, _ in marks
        ],
        annotations=[
            {"x": at, "text": text, "font": {"size": 10}, **text_at, **place} for at, text in marks
        ],
    )
