"""Metrics, one family per file: pure functions of a cell's logs. docs/reference/metrics.md gives
every definition.
"""
