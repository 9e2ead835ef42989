"""What agents and the server set at their start, so that no message waits for longer than it
must.
"""

import os
import sys

GIL_SWITCH_S = 0.0002
"""A thread that has a message to pass on waits this long at most for one that computes; Python's
default is 5 ms.
"""
_EXPERIMENTS = "-event_engine_client,-event_engine_listener"


def prefer_latency() -> None:
    """Call before a process imports gRPC, which reads its settings then.

    Without gRPC's event engine the thread that waits for a message reads it from the socket itself:
    two hand-overs between threads less on each way. A GRPC_EXPERIMENTS set by the user stays.
    """
    os.environ.setdefault("GRPC_EXPERIMENTS", _EXPERIMENTS)
    sys.setswitchinterval(GIL_SWITCH_S)
