"""report.html: one file with everything in it, from the template beside this module."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.metrics.schema import Metrics
from analysis.metrics.table import RUN
from analysis.report.cluster import clusters, jct_ratios
from analysis.report.figures import colour_of, figures
from analysis.report.sessions import pairings, sessions
from analysis.run import Run
from analysis.tables import first_doubts, format_value


def render(run: Run, metrics: Metrics) -> str:
    """The page as text. Everything from the run folder is escaped."""
    template = resources.files("analysis.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = figures(run, metrics)
    return environment.from_string(template).render(
        run_id=metrics.run_id,
        scenario=run.manifest.scenario,
        trace=run.manifest.trace.name,
        controllers=list(dict.fromkeys(entry.cc for entry in metrics.summary)),
        colours=colour_of(run),
        doubts=first_doubts(metrics),
        rows=_rows(metrics),
        cells=max((entry.cells for entry in metrics.summary), default=0),
        warnings=metrics.warnings,
        link=metrics.link,
        figures=found,
        sessions=sessions(metrics),
        pairings=pairings(metrics),
        clusters=clusters(metrics),
        jct_ratios=jct_ratios(metrics),
        # Data inside a script: neither "</script>" nor "<!--" in a name may change how the page is
        # read.
        data={figure.name: Markup(figure.json.replace("<", "\\u003c")) for figure in found},  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # the library's own bundle
        scenario_yaml=yaml.safe_dump(run.manifest.scenario, sort_keys=False, allow_unicode=True),
        environment_yaml=yaml.safe_dump(
            run.manifest.environment, sort_keys=False, allow_unicode=True
        ),
        seeds=", ".join(str(seed) for seed in sorted({cell.seed for cell in run.cells})),
    )


def _rows(metrics: Metrics) -> list[dict[str, Any]]:
    rows = []
    for shown in RUN:
        entries = {entry.cc: entry for entry in metrics.summary if entry.metric == shown.path}
        if entries:
            values = [
                {"text": format_value(entry, shown.factor, shown.digits), "winner": entry.winner}
                for entry in entries.values()
            ]
            rows.append(
                {
                    "title": shown.title,
                    "better": {True: "↑", False: "↓", None: ""}[shown.higher_is_better],
                    "values": values,
                }
            )
    return rows
