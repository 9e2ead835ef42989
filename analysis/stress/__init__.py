"""A stress test's cells: what each measured, who collapsed, as table, JSON and page."""

from analysis.stress.measure import measured
from analysis.stress.report import build, text
from analysis.stress.verdict import judge

__all__ = ["build", "judge", "measured", "text"]
