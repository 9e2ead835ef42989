"""The gRPC edge for players of video: `Policy.Choose`, answered on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from policy.errors import PolicyError
from policy.protocol import policy_pb2 as pb
from policy.server.metrics import Metrics

if TYPE_CHECKING:
    from policy.server.levels import Levels

log = logging.getLogger(__name__)
REQUESTS = 256
"""Requests that may wait; beyond, they are refused."""
Context = grpc.aio.ServicerContext[Any, Any]


class PlayerService:
    """Answers players. Without policies it refuses every request."""

    def __init__(
        self, names: Sequence[str], admit: Callable[[Context], Awaitable[None]], metrics: Metrics
    ) -> None:
        """Loads the policies. Raises PolicyError."""
        self._levels = _load(names)
        self._admit, self._metrics, self._waiting = admit, metrics, 0
        self._thread = ThreadPoolExecutor(1, "abr")

    async def Choose(self, data: bytes, context: Context) -> pb.Level:  # noqa: N802 (gRPC's name)
        """One player's next level."""
        await self._admit(context)
        if self._levels is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "no ABR policy is served here; start the server with `abr: [default]`",
            )
        if self._waiting >= REQUESTS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests wait")
        arrived_ns = time.monotonic_ns()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            level = await loop.run_in_executor(self._thread, self._levels.choose, data)
        except (PolicyError, DecodeError) as error:
            self._metrics.rejected["level_request"] += 1
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:
            log.exception("an ABR policy failed")
            await context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
        finally:
            self._waiting -= 1
        latency_ns = np.array([time.monotonic_ns() - arrived_ns])
        self._metrics.answered("abr", latency_ns, level.compute_ns)
        return level


def _load(names: Sequence[str]) -> Levels | None:
    if not names:
        return None
    # Late: Numba, and PyTorch for checkpoints, only where players are served.
    from policy.server.levels import Levels

    return Levels(names)
