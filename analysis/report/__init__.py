"""metrics.json and the self-contained report.html of a run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.files import METRICS, REPORT
from analysis.measure import measure
from analysis.metrics.schema import Metrics
from analysis.report.page import render
from analysis.run import load_run

__all__ = ["Unwritten", "build"]


class Unwritten(AnalysisError):  # noqa: N818
    """A file of the report could not be written. metrics: what it would have said."""

    def __init__(self, message: str, metrics: Metrics) -> None:
        super().__init__(message)
        self.metrics = metrics


def build(folder: Path) -> Metrics:
    """Derive metrics.json and report.html from the logs in ``folder`` and return the metrics.
    Raises AnalysisError, as Unwritten where all is measured and the folder cannot be written to.
    """
    run = load_run(folder)
    metrics = measure(run)
    page = render(run, metrics)
    try:
        _write(folder / METRICS, metrics.model_dump_json(indent=1) + "\n")
        _write(folder / REPORT, page)
    except OSError as error:
        raise Unwritten(
            f"{error.filename or folder}: cannot be written: {error.strerror}; the table is all "
            "there is of this report",
            metrics,
        ) from error
    return metrics


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
