"""How traffic asks the run's policy server."""

from __future__ import annotations

from contextlib import suppress

import grpc

from policy.protocol.policy_pb2_grpc import PolicyStub

_CONNECT_S = 5.0
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
