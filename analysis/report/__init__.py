"""metrics.json and the self-contained report.html of a run."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import AnalysisError
from analysis.measure import measure
from analysis.metrics.schema import Metrics
from analysis.report.page import render
from analysis.run import load_run

__all__ = ["build"]


def build(folder: Path) -> Metrics:
    """Derive metrics.json and report.html from the logs in ``folder`` and return the metrics.
    Raises AnalysisError.
    """
    run = load_run(folder)
    metrics = measure(run)
    _write(folder / "metrics.json", metrics.model_dump_json(indent=1) + "\n")
    _write(folder / "report.html", render(run, metrics))
    return metrics


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise AnalysisError(f"{path}: cannot be written: {error.strerror}") from error
