"""league.html: one file with everything in it, from the template beside this module."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.league.compare import Group
from analysis.league.figures import colours, pareto
from analysis.league.text import cell_text, group_facts, group_title, title


def render(notes: Sequence[str], found: Sequence[Group]) -> str:
    """The page as text. Everything from the table is escaped."""
    schemes = list(dict.fromkeys(scheme for group in found for scheme in group.schemes))
    traffics = dict.fromkeys(group.traffic for group in found)
    figures = [
        figure for traffic in traffics if (figure := pareto(found, traffic, schemes)) is not None
    ]
    template = resources.files("analysis.league").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        notes=notes,
        schemes=schemes,
        colours=colours(schemes),
        groups=[_group(group) for group in found],
        figures=figures,
        # Data inside a script: neither "</script>" nor "<!--" in a name may change how the page is
        # read.
        data={figure.name: Markup(figure.json.replace("<", "\\u003c")) for figure in figures},  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # the library's own bundle
    )


def _group(group: Group) -> dict[str, Any]:
    return {
        "title": group_title(group),
        "facts": group_facts(group),
        "baseline": group.baseline,
        "schemes": group.schemes,
        "rows": [
            {
                "title": title(metric),
                "texts": [cell_text(group.of(metric.name, scheme)) for scheme in group.schemes],
            }
            for metric in group.metrics
        ],
    }
