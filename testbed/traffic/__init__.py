"""Traffic between host pairs: one process per end, one file per kind. Importing it registers the
kinds.
"""

from testbed.traffic.registry import kind, kind_names

__all__ = ["kind", "kind_names"]
