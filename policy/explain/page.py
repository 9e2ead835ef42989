"""explain.html: one file with everything in it, from the template beside this module."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from policy.explain.distil import rules
from policy.explain.explain import Decisions, Explanation
from policy.explain.neutral import EXPLAINED, PATCH

_COLOURS = {"integrated gradients": "#0072B2", "occlusion": "#D55E00", "random": "#999999"}


def render(explanation: Explanation, titles: Sequence[str], source: str) -> str:
    """The page as text. titles: of the decisions; source: the run. Names are escaped."""
    found = explanation.decisions
    figures = {"deletion": _deletion(found)}
    for index in range(len(found.rows)):
        figures[f"decision{index}"] = _parts(found, index)
    if explanation.tree is not None:
        figures["tree"] = _tree(explanation)
    template = resources.files("policy.explain").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        policy=explanation.policy,
        source=source,
        decisions=[
            {
                "title": title,
                "factor": f"{2 ** found.action[index]:.2f}",
                "calm": f"{2 ** found.calm[index]:.2f}",
                "counterfactuals": [each.words for each in found.counterfactuals[index]],
                "figure": f"decision{index}",
            }
            for index, title in enumerate(titles)
        ],
        agreement=found.agreement,
        gradients=found.gradients is not None,
        areas={name: float(curve.mean()) for name, curve in found.deletion.items()},
        tree=explanation.tree,
        why=explanation.why,
        rules=rules(explanation.tree.tree) if explanation.tree else "",
        # Data inside a script: no "</script>" may change how the page is read.
        data={
            name: Markup(figure.to_json().replace("<", "\\u003c"))  # noqa: S704
            for name, figure in figures.items()
        },
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # the library's own bundle
    )


def _parts(found: Decisions, index: int) -> go.Figure:
    """Fields over windows: what raised the action and what lowered it."""
    parts = (found.occlusion if found.gradients is None else found.gradients)[index]
    order = np.argsort(np.abs(parts).sum(axis=1))[-10:]
    patches = parts.shape[1]
    columns = [f"−{(patches - k) * PATCH}…−{(patches - k - 1) * PATCH + 1}" for k in range(patches)]
    largest = max(float(np.abs(parts).max()), 1e-9)
    figure = go.Figure(
        go.Heatmap(
            z=parts[order],
            x=columns,
            y=[EXPLAINED[field] for field in order],
            colorscale="RdBu",
            zmin=-largest,
            zmax=largest,
            colorbar={"title": "octaves"},
        )
    )
    figure.update_xaxes(title="windows before the decision")
    return _sized(figure, 320)


def _deletion(found: Decisions) -> go.Figure:
    figure = go.Figure()
    for name, curve in found.deletion.items():
        steps = curve.shape[1]
        figure.add_scatter(
            x=[100 * (k + 1) / steps for k in range(steps)],
            y=curve.mean(axis=0),
            name=name,
            line={"color": _COLOURS[name]},
        )
    figure.update_xaxes(title="% of the cells put into calm, largest part first")
    figure.update_yaxes(title="octaves that the action moved", rangemode="tozero")
    return _sized(figure, 320)


def _tree(explanation: Explanation) -> go.Figure:
    assert explanation.tree is not None
    wanted, predicted = explanation.tree.wanted, explanation.tree.predicted
    figure = go.Figure(
        go.Scatter(x=wanted, y=predicted, mode="markers", marker={"size": 4, "opacity": 0.5})
    )
    ends = [float(wanted.min()), float(wanted.max())]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": "#999999"})
    figure.update_xaxes(title=f"{explanation.policy}, octaves")
    figure.update_yaxes(title="tree, octaves")
    figure.update_layout(showlegend=False)
    return _sized(figure, 360)


def _sized(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(height=height, margin={"l": 10, "r": 10, "t": 10, "b": 10})
    figure.update_yaxes(automargin=True)
    return figure


def summary(explanation: Explanation, titles: Sequence[str]) -> dict[str, Any]:
    """What the page says, for a program to read."""
    found, tree = explanation.decisions, explanation.tree
    parts = found.occlusion if found.gradients is None else found.gradients
    decisions = []
    for index, title in enumerate(titles):
        by_field = parts[index].sum(axis=1)
        order = np.argsort(-np.abs(by_field))[:5]
        decisions.append(
            {
                "decision": title,
                "action_log2": float(found.action[index]),
                "calm_log2": float(found.calm[index]),
                "parts_log2": {EXPLAINED[k]: float(by_field[k]) for k in order},
                "counterfactuals": [each.words for each in found.counterfactuals[index]],
            }
        )
    return {
        "policy": explanation.policy,
        "attribution": "occlusion" if found.gradients is None else "integrated gradients",
        "agreement": None if np.isnan(found.agreement) else found.agreement,
        "deletion_octaves": {name: float(curve.mean()) for name, curve in found.deletion.items()},
        "decisions": decisions,
        "tree": None
        if tree is None
        else {
            "leaves": tree.tree.leaves,
            "fitted_r2": tree.fitted_r2,
            "held_out_r2": tree.held_out_r2,
            "held_out_windows": len(tree.wanted),
        },
        "why": explanation.why,
    }


def as_json(explanation: Explanation, titles: Sequence[str]) -> str:
    """`summary` as text."""
    return json.dumps(summary(explanation, titles), indent=1, allow_nan=False)
