"""The metrics, one family per file. Pure functions of arrays; docs/metrics.md gives their formulas."""
