"""The gRPC edge for single requests: `Policy.Choose` of video players, `Policy.Schedule` of
clusters. Each kind is answered on a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from policy.errors import PolicyError
from policy.server.metrics import Metrics
from policy.worker.policy import WorkerPart

log = logging.getLogger(__name__)
REQUESTS = 256
"""Requests that may wait; beyond, they are refused."""
Context = grpc.aio.ServicerContext[Any, Any]


class SingleService:
    """Answers requests of one kind. Without policies it refuses every one."""

    def __init__(
        self,
        kind: str,
        answer: Callable[[bytes], Any] | None,
        admit: Callable[[Context], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        """``kind``: the setting that names the policies; ``answer``: a message with compute_ns.
        None where no policy is served.
        """
        self._kind, self._answer = kind, answer
        self._admit, self._metrics, self._waiting = admit, metrics, 0
        self._thread = ThreadPoolExecutor(1, kind)

    async def answer(self, data: bytes, context: Context) -> Any:
        """The answer to one request in its bytes."""
        await self._admit(context)
        if self._answer is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"nothing of this kind is served here; start the server with "
                f"`{self._kind}: [default]`",
            )
        if self._waiting >= REQUESTS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests wait")
        arrived_ns = time.monotonic_ns()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._thread, self._answer, data)
        except (PolicyError, DecodeError) as error:
            self._metrics.rejected[f"{self._kind}_request"] += 1
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:
            log.exception("a policy of %s failed", self._kind)
            await context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
        finally:
            self._waiting -= 1
        latency_ns = np.array([time.monotonic_ns() - arrived_ns])
        self._metrics.answered(self._kind, latency_ns, answer.compute_ns)
        return answer


def players(
    names: Sequence[str], shared: Mapping[str, WorkerPart]
) -> Callable[[bytes], Any] | None:
    """What answers players. Loads the policies that no worker process shares; raises
    PolicyError.
    """
    if not names:
        return None
    # Late: Numba, and PyTorch for checkpoints, only where players are served.
    from policy.server.levels import Levels

    return Levels(names, shared).choose


def clusters(
    names: Sequence[str], shared: Mapping[str, WorkerPart]
) -> Callable[[bytes], Any] | None:
    """What answers clusters. Loads as `players` does."""
    if not names:
        return None
    from policy.server.placements import Placements  # late, as above

    return Placements(names, shared).schedule
