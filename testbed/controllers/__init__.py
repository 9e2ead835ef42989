"""Congestion controllers that a run compares."""
