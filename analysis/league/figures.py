"""The league's figures: delay against what is got for it, and the policy against the better rival
per family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from plotly.subplots import make_subplots

from analysis.league.compare import ALL, Entry, Group, is_reference
from analysis.report.figures import Figure

# Okabe and Ito's colours, then shades of grey: told apart by everyone, on light and on dark.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C6BB1",
    "#A6761D",
    "#999999",
)
_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "x",
    "star",
    "hexagon",
    "pentagon",
)
_COLUMNS = 3
_GAINS = {"video": "bitrate_mbps"}  # of other traffic: utilisation


def colours(schemes: Sequence[str]) -> dict[str, str]:
    """A colour per scheme, the same in every figure."""
    return {scheme: _COLOURS[index % len(_COLOURS)] for index, scheme in enumerate(schemes)}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, gain) points that no other point beats in one without losing in the
    other, by cost.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front, best = [], -math.inf
    for index in order:
        if points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front


def pareto(found: Sequence[Group], traffic: str, schemes: Sequence[str]) -> Figure | None:
    """Queueing delay p95 against displayed bitrate (video) or utilisation, all families and each;
    None without data.
    """
    gain = _GAINS.get(traffic.split(",")[0].split(" ")[0], "utilisation")
    own = [group for group in found if group.traffic == traffic and _points(group, gain)]
    # Flows that share the link share its delay too: nothing to choose between.
    if not own or any(metric.name in ("jain", "share") for metric in own[0].metrics):
        return None
    rows = math.ceil(len(own) / _COLUMNS)
    titles = ["all families" if group.family == ALL else group.family for group in own]
    figure = make_subplots(
        rows=rows,
        cols=min(len(own), _COLUMNS),
        subplot_titles=titles,
        horizontal_spacing=0.09,
        vertical_spacing=0.26 / rows,
    )
    look = colours(schemes)
    for number, group in enumerate(own):
        place = {"row": number // _COLUMNS + 1, "col": number % _COLUMNS + 1}
        points = _points(group, gain)
        # A scheme that knows what none can know would leave the front to nobody else.
        contending = [point for point in points if not is_reference(point[0])]
        front = [
            contending[index]
            for index in pareto_front([(c.median, v.median) for _, c, v in contending])
        ]
        figure.add_scatter(
            x=[cost.median for _, cost, _ in front],
            y=[value.median * value.metric.factor for _, _, value in front],
            mode="lines", line={"width": 1, "dash": "dot", "color": "#999999"}, name="Pareto front",
            showlegend=number == 0, hoverinfo="skip", **place,
        )  # fmt: skip
        for scheme, cost, value in points:
            figure.add_scatter(
                x=[cost.median],
                y=[value.median * value.metric.factor],
                mode="markers",
                name=scheme,
                legendgroup=scheme,
                showlegend=number == 0,
                marker={
                    "size": 11,
                    "color": look[scheme],
                    "symbol": _SYMBOLS[list(look).index(scheme) % len(_SYMBOLS)],
                },
                error_x=_bars(cost),
                error_y=_bars(value),
                **place,
            )
        figure.update_xaxes(
            rangemode="tozero", title="ms" if place["row"] == rows else None, **place
        )
    shown = _points(own[0], gain)[0][2].metric
    figure.update_layout(
        template="none",
        height=110 + 270 * rows,
        margin={"l": 48, "r": 12, "t": 64, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1 + 60 / (270 * rows), "yanchor": "bottom", "x": 0},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    text = (
        f"Across: queueing delay p95, ms; up: {shown.title}. Medians with 95 % intervals; up and "
        "left is better, "
        "and no scheme beats those on the dotted line in both."
    )
    name = "pareto-" + "".join(letter if letter.isalnum() else "-" for letter in traffic)
    return Figure(name, f"Delay against {shown.title}: {traffic}", text, figure.to_json())


def _points(group: Group, gain: str) -> list[tuple[str, Entry, Entry]]:
    found = []
    for scheme in group.schemes:
        cost, value = group.of("qdelay_p95_ms", scheme), group.of(gain, scheme)
        if cost is not None and value is not None:
            found.append((scheme, cost, value))
    return found


def _bars(entry: Entry) -> dict[str, object] | None:
    if entry.ci95 is None:
        return None
    low, high = entry.ci95
    factor = entry.metric.factor
    return {
        "type": "data",
        "array": [(high - entry.median) * factor],
        "arrayminus": [(entry.median - low) * factor],
        "thickness": 1,
        "width": 3,
    }
