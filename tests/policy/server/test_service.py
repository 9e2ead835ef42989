"""How a stream ends, on a context that is as strict as gRPC's."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from policy.protocol import policy_pb2 as pb
from policy.server.config import ServerConfig
from policy.server.metrics import Metrics
from policy.server.service import PolicyService
from policy.server.streams import LimitError


class AbortedError(Exception):
    """What gRPC raises into the handler once the status is sent."""


class StrictContext:
    """Takes one operation on the stream's way back at a time: a status beside a write under way is
    an error, and the agent never hears of it.
    """

    def __init__(self, *messages: pb.AgentMessage | Exception) -> None:
        self.ended: tuple[grpc.StatusCode, str] | None = None
        self.written: list[pb.ServerMessage] = []
        self._messages = list(messages)
        self._writing = False

    def invocation_metadata(self) -> tuple[()]:
        return ()

    async def read(self) -> pb.AgentMessage:
        message = self._messages.pop(0)
        if isinstance(message, Exception):
            await asyncio.sleep(0)  # the write of the Welcome has begun
            raise message
        return message

    async def write(self, message: pb.ServerMessage) -> None:
        self._writing = True
        await asyncio.sleep(0.05)
        self._writing = False
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        assert not self._writing
        self.ended = code, details
        raise AbortedError


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (LimitError("too much"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (pb.AgentMessage(hello=pb.Hello()), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_stream_that_is_refused_gets_what_was_written_and_then_its_status(
    second: Any, code: grpc.StatusCode
) -> None:
    hello = pb.Hello(version=1, agent_id="a", policy="gcc", window_ns=10**8, deadline_ns=10**8)
    context = StrictContext(pb.AgentMessage(hello=hello), second)
    config = ServerConfig(listen="unix:/nowhere", difficult=None)

    async def decide() -> None:
        service = PolicyService(config, {}, Metrics(), None)
        with pytest.raises(AbortedError):
            await service.Decide(None, context)

    asyncio.run(decide())
    assert [message.WhichOneof("message") for message in context.written] == ["welcome"]
    assert context.ended is not None
    assert context.ended[0] == code
