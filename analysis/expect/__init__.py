"""Pass or fail: expectations of a run's metrics, judged over paired repeats."""
