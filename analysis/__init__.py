"""From a run folder to metrics, statistics and the report."""
