"""Emulated links between two routers: rate, queue, delay and loss. Importing it registers the
backends.
"""

from testbed.links.registry import backend, backend_names, register
from testbed.links.relay.backend import RelayBackend
from testbed.links.tc.backend import TcBackend

register("relay", RelayBackend)
register("tc", TcBackend)

__all__ = ["backend", "backend_names"]
