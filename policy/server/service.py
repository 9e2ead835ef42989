"""The streams of all agents: one event loop for streams and light decisions; a thread waits for
each model tier.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from policy.api import Actions, Policy
from policy.errors import NoDecision
from policy.protocol import policy_pb2 as pb
from policy.server import kept
from policy.server.config import ServerConfig
from policy.server.core import Core
from policy.server.flows import Session
from policy.server.inputs import InputLog
from policy.server.lanes import Job
from policy.server.metrics import Metrics
from policy.server.outgoing import Outgoing
from policy.server.streams import LimitError, ProtocolError
from policy.worker.policy import WorkerPolicy
from policy.worker.process import WorkerDied

log = logging.getLogger("policy.server.service")
OUTBOX = 256
"""Messages that wait for an agent that does not read; beyond, the oldest go."""
MAX_PAUSE_S = 0.005
LAZY_S = 0.02
"""Records without a window that closed wait for others so long."""
KEEP_S = 10.0
"""Between two times that the scheduler's state is saved."""


class Outbox:
    """What is to be written to one agent."""

    def __init__(self) -> None:
        self._messages: deque[pb.ServerMessage] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, message: pb.ServerMessage) -> int:
        """Add a message; returns how many old ones had to go."""
        self._messages.append(message)
        dropped = max(len(self._messages) - OUTBOX, 0)
        for _ in range(dropped):
            self._messages.popleft()
        self._filled.set()
        return dropped

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._filled.set()

    async def __aiter__(self) -> AsyncIterator[pb.ServerMessage]:
        """Messages as they come, until closed and empty."""
        while True:
            while self._messages:
                yield self._messages.popleft()
            if self._closed:
                return
            self._filled.clear()
            await self._filled.wait()


class PolicyService:
    """The Policy service for agents. Everything but waiting for model tiers runs in the event
    loop's thread.
    """

    def __init__(
        self,
        config: ServerConfig,
        tiers: dict[str, Policy],
        metrics: Metrics,
        token: str | None,
        inputs: InputLog | None = None,
    ) -> None:
        self._config, self._metrics, self._token = config, metrics, token
        self._core = Core(config, tiers, metrics, inputs=inputs)
        self._core.light(config.light)
        kept.restore(self._core.scheduler, config.scheduler_state)
        self._outboxes: dict[Session, Outbox] = {}
        self._tick_due, self._next_tick_s = False, 0.0
        self._draining = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._threads = {name: ThreadPoolExecutor(1, f"tier-{name}") for name in tiers}

    async def Decide(  # noqa: N802 (gRPC's name)
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[pb.AgentMessage, pb.ServerMessage],
    ) -> None:
        """One agent's stream."""
        await self.admit(context)
        session: Session | None = None
        outbox = Outbox()
        writer = asyncio.create_task(_write(outbox, context))
        drain = asyncio.create_task(self._draining.wait())

        async def end(code: grpc.StatusCode, details: str) -> None:
            # gRPC refuses a status beside a write under way, and the agent would never hear of it.
            outbox.close()
            await asyncio.wait({writer}, timeout=self._config.drain_s)
            await context.abort(code, details)

        try:
            hello = await asyncio.wait_for(context.read(), self._config.limits.hello_timeout_s)
            if hello == grpc.aio.EOF:
                return
            if hello.WhichOneof("message") != "hello":
                raise ProtocolError("the first message must be Hello")
            session, welcome = self._core.streams.connect(hello.hello)
            log.info("agent %s connected, policy %s", session.agent_id, session.policy)
            outbox.put(welcome)
            self._outboxes[session] = outbox
            reader = asyncio.create_task(self._read(session, context))
            await asyncio.wait({reader, drain, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            else:
                reader.cancel()
            if self._draining.is_set():
                self._tick()
                await end(grpc.StatusCode.UNAVAILABLE, "the server is draining")
        except TimeoutError:
            await end(grpc.StatusCode.INVALID_ARGUMENT, "no Hello came")
        except (
            ProtocolError,
            DecodeError,
        ) as error:  # DecodeError: of context.read(), no protobuf at all
            self._metrics.rejected["protocol_error"] += 1
            await end(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except LimitError as error:
            self._metrics.rejected["limit"] += 1
            await end(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        finally:
            writer.cancel()
            drain.cancel()
            if session is not None:
                self._outboxes.pop(session, None)
                self._core.disconnect(session)
                log.info("agent %s disconnected", session.agent_id)

    async def admit(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Turns away clients without the token, and all while the server drains."""
        if self._token is not None and not self._authorised(context):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a valid bearer token is needed")
        if self._draining.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is draining")

    def parse(self, data: bytes) -> pb.AgentMessage:
        """A message from its bytes. Raises LimitError or DecodeError, in `context.read()`."""
        if len(data) > self._config.limits.message_bytes:
            raise LimitError(
                f"a message of {len(data)} bytes; the server's limit is "
                f"{self._config.limits.message_bytes}"
            )
        return pb.AgentMessage.FromString(data)

    def _authorised(self, context: grpc.aio.ServicerContext[Any, Any]) -> bool:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        given = given.encode() if isinstance(given, str) else bytes(given)
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())

    async def _read(
        self, session: Session, context: grpc.aio.ServicerContext[pb.AgentMessage, pb.ServerMessage]
    ) -> None:
        while (message := await context.read()) != grpc.aio.EOF:
            if message.WhichOneof("message") != "state":
                raise ProtocolError("after Hello only StateBatch messages may come")
            self._core.streams.receive(session, message.state, time.monotonic_ns())
            if message.state.windows.flow:
                self._schedule_tick()
            else:  # nobody waits for an answer
                asyncio.get_running_loop().call_later(LAZY_S, self._tick_if_due)

    def _schedule_tick(self) -> None:
        """Tick at once when idle; after a tick not before as much time again has passed, at most
        MAX_PAUSE_S.

        A tick costs nearly the same for one message as for ten, so under load messages share them.
        """
        if self._tick_due:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_tick_s:
            self._tick()
        else:
            self._tick_due = True
            loop.call_at(self._next_tick_s, self._tick)

    def _tick_if_due(self) -> None:
        if self._core.pending:
            self._schedule_tick()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self._tick_due = False
        outgoing = self._core.tick(time.monotonic_ns()) if self._core.pending else []
        # First: a model needs its core for longer than it takes to write the light answers.
        for name in self._threads:
            self._dispatch(name)
        self._send(outgoing)
        ended_s = loop.time()
        self._next_tick_s = ended_s + min(ended_s - started_s, MAX_PAUSE_S)

    def _send(self, outgoing: Outgoing) -> None:
        for session, message in outgoing:
            outbox = self._outboxes.get(session)
            if outbox is not None and outbox.put(message):
                self._metrics.dropped["any", "agent_slow"] += 1

    def _dispatch(self, name: str) -> None:
        job = self._core.next_job(name, time.monotonic_ns())
        if job is not None:
            # Given to the tier's thread here, not when the loop comes to the task: that is after
            # all light answers are written.
            deciding = self._threads[name].submit(job.lane.tier.decide, job.batch, job.taken_ns)
            task = asyncio.create_task(self._finish(name, job, deciding))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def _finish(self, name: str, job: Job, deciding: Future[Actions]) -> None:
        """Send what a model tier's thread decides. Whatever it raises, the light tier goes on."""
        loop, tier, actions = asyncio.get_running_loop(), job.lane.tier, None
        try:
            actions = await asyncio.wrap_future(deciding)
            _check(actions, len(job.batch))
        except NoDecision:  # the policy has logged it
            actions = None
        except WorkerDied as error:
            log.error("tier %s failed on a batch of %d: %s", name, len(job.batch), error)
        except Exception:
            log.exception("tier %s failed on a batch of %d", name, len(job.batch))
            actions = None
        self._send(self._core.finish(job, actions, time.monotonic_ns()))
        if actions is None and isinstance(tier, WorkerPolicy) and not self._draining.is_set():
            job.lane.busy = True  # only this lane waits
            await loop.run_in_executor(self._threads[name], tier.recover)
            job.lane.busy = False
        if not self._draining.is_set():
            self._dispatch(name)

    async def keep_state(self) -> None:
        """Save what the scheduler has learnt, every KEEP_S and at the end, until cancelled."""
        try:
            while True:
                await asyncio.sleep(KEEP_S)
                kept.save(self._core.scheduler, self._config.scheduler_state)
        finally:
            kept.save(self._core.scheduler, self._config.scheduler_state)

    async def drain(self) -> None:
        """Answer what is under way, for at most `drain_s`, and end all streams with UNAVAILABLE."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=self._config.drain_s)
        self._draining.set()
        for executor in self._threads.values():
            executor.shutdown(wait=False, cancel_futures=True)


def _check(actions: Actions, count: int) -> None:
    shapes = actions.pacing_rate_bps.shape, actions.cwnd_packets.shape
    if shapes != ((count,), (count,)):
        raise ValueError(f"actions of shapes {shapes} for {count} flows")


async def _write(
    outbox: Outbox, context: grpc.aio.ServicerContext[pb.AgentMessage, pb.ServerMessage]
) -> None:
    async for message in outbox:
        await context.write(message)
