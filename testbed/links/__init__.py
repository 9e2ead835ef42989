"""Emulated links: rate, queue, delay and loss between two routers. Importing this package registers the backends."""

from testbed.links.base import backend, backend_names

__all__ = ["backend", "backend_names"]
