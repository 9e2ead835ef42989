"""Schedulers of APC under stress, and how they compare."""
