"""How traffic asks the run's policy server."""

from __future__ import annotations

import logging
from contextlib import suppress

import grpc

from policy.protocol.policy_pb2_grpc import PolicyStub

log = logging.getLogger(__name__)
_CONNECT_S = 5.0
_WILL_STAY = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED)
# Back-off of gRPC's own would outlast the time between two requests.
_OPTIONS = [("grpc.max_reconnect_backoff_ms", 1000)]


def connect(address: str) -> tuple[grpc.Channel, PolicyStub]:
    """The connection, which the caller closes, and what asks over it. A server that does not answer
    within seconds is tried again at every request.
    """
    channel = grpc.insecure_channel(address, _OPTIONS)
    with suppress(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(_CONNECT_S)
    return channel, PolicyStub(channel)  # type: ignore[no-untyped-call]


class Refusals:
    """Logs once why the server refuses what it would refuse again."""

    def __init__(self) -> None:
        self._told = False

    def tell(self, error: grpc.RpcError) -> None:
        """A request failed so. Late answers and servers that are away are no refusals."""
        if not self._told and isinstance(error, grpc.Call) and error.code() in _WILL_STAY:
            self._told = True
            log.warning("the policy server refuses requests: %s", error.details())
