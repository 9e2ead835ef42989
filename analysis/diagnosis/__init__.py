"""What went wrong in a run, from its folder alone: each bad window of a flow has one cause."""

from analysis.diagnosis.diagnose import Diagnosis, Finding, diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
