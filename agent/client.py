"""The agent's end of the stream to the policy server. Threads of its own; nothing the agent calls
blocks.
"""

import os
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from agent import codec
from agent.answers import Answers
from agent.batch import Batch, Opened
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.tcpinfo import probe
from policy.protocol import policy_pb2_grpc
from policy.protocol.policy_pb2 import AgentMessage, ServerMessage

QUEUE_BATCHES = 64
_BACKOFF_S = (0.05, 2.0)  # first and longest wait between attempts
_CONNECT_S = 1.0
_GIVE_WAY_S = 0.0003
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    # A cut network shows as a missing answer to a ping, long before TCP gives up.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Reconnecting is this class's task; gRPC's own back-off would hide a server that is back.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]


def merge(older: Batch, newer: Batch) -> Batch:
    """What is left of two batches where there is room for one: flows that came and went, the newer
    observations.
    """
    return Batch(
        older.opens + newer.opens, older.closes + newer.closes, newer.records, newer.windows
    )


class Outbox:
    """A bounded queue of batches for one stream. When it is full, the oldest observations go."""

    def __init__(self, limit: int = QUEUE_BATCHES) -> None:
        self._batches: deque[Batch] = deque()
        self._limit = limit
        self._lock = threading.Lock()  # over _batches
        self._calls: queue.SimpleQueue[None] = (
            queue.SimpleQueue()
        )  # one for each reason to look; wakes faster than locks
        self._released = self._closed = False

    def put(self, batch: Batch) -> None:
        """Queue a batch; never blocks."""
        with self._lock:
            self._batches.append(batch)
            if len(self._batches) > self._limit:
                self._batches.appendleft(merge(self._batches.popleft(), self._batches.popleft()))
        self._calls.put(None)

    def release(self) -> None:
        """Let the batches out; until then they wait."""
        self._released = True
        self._calls.put(None)

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._calls.put(None)

    def __iter__(self) -> Iterator[Batch]:
        """Batches as they come, until `close`."""
        while True:
            self._calls.get()
            while self._released and not self._closed:
                with self._lock:
                    batch = self._batches.popleft() if self._batches else None
                if batch is None:
                    break
                yield batch
            if self._closed:
                return


class PolicyClient:
    """See `agent.agent.Client`. Connects, and connects again with growing waits, until it is
    closed.

    A new stream begins with Hello and all flows that are open, so that a restarted server knows
    them. Raises AgentError if the credentials cannot be read.
    """

    def __init__(self, config: AgentConfig) -> None:
        assert config.server
        self._config = config
        self._credentials = _credentials(config)
        self._open: dict[tuple[int, int], Opened] = {}
        self._outbox: Outbox | None = None
        self._lock = (
            threading.Lock()
        )  # over _open and _outbox: send() against a stream that starts or ends
        self._answers: deque[Answers] = deque()
        self._events: deque[tuple[int, str, str]] = deque(maxlen=1000)
        self._max_records = 1
        self._closing = threading.Event()
        self._call: Any = (
            None  # the stubs' types do not say that a call can be iterated and cancelled
        )
        self.connected = False
        self.served: dict[str, Any] = {}
        """Who answers, as the server said it last: `light_tier`, `difficult_tier`, `checkpoints`;
        empty until it has welcomed the agent.
        """
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(
            target=self._keep_connected, name="policy-client", daemon=True
        )
        self._thread.start()

    def send(self, batch: Batch, now_ns: int) -> None:
        """Queue a batch for the server, if there is one.

        Where an answer is awaited, gives way to the thread that sends for a moment: what the caller
        does next is less urgent, and would keep the interpreter from it.
        """
        with self._lock:
            outbox = self._outbox
            for opened in batch.opens:
                self._open[opened.slot, opened.generation] = opened
            for closed in batch.closes:
                self._open.pop(closed, None)
            if outbox:
                outbox.put(batch)
        if outbox and self.connected and len(batch.windows):
            time.sleep(_GIVE_WAY_S)

    def receive(self) -> Sequence[Answers]:
        """Answers since the last call, oldest first."""
        if not self._answers:
            return ()
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def events(self) -> Sequence[tuple[int, str, str]]:
        """(time, event, detail) since the last call."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def close(self) -> None:
        """End the stream and the threads."""
        self._closing.set()
        with self._lock:
            if self._outbox:
                self._outbox.close()
        if self._call:
            self._call.cancel()
        self._thread.join(timeout=2 * _CONNECT_S + 1)
        os.close(self.wake_fd)

    def _wake(self) -> None:
        os.eventfd_write(self.wake_fd, 1)

    def _keep_connected(self) -> None:
        wait_s = _BACKOFF_S[0]
        refusal = ""
        while not self._closing.is_set():
            try:
                self._stream()
                reason = "the server ended the stream"
            except grpc.FutureTimeoutError:
                cause = probe.why(self._config.server or "", self._config.tls_ca, _CONNECT_S)
                reason = f"no connection to {self._config.server}: {cause}"
            except grpc.RpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except Exception as error:  # noqa: BLE001
                # Whatever a server sends, even what does not fit into memory, the next stream may
                # be a better one; without this thread nobody would ever connect again.
                reason = f"{type(error).__name__}: {error}"
            if self.connected:
                wait_s = _BACKOFF_S[0]
            if self.connected or reason != refusal:  # the same refusal over and over is said once
                self._note("server-lost" if self.connected else "server-refused", reason)
                refusal = reason
            self.connected = False
            self._wake()
            self._closing.wait(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, _BACKOFF_S[1])

    def _stream(self) -> None:
        """One stream from connection to end. Raises grpc.RpcError or grpc.FutureTimeoutError."""
        with self._channel() as channel:
            ready = grpc.channel_ready_future(channel)
            try:
                ready.result(timeout=_CONNECT_S)
            finally:
                ready.cancel()
            outbox = Outbox()
            with self._lock:
                outbox.put(codec.opening_batch(self._open.values()))
                self._outbox = outbox
            try:
                stub = policy_pb2_grpc.PolicyStub(channel)  # type: ignore[no-untyped-call]
                self._call = stub.Decide(self._requests(outbox), metadata=self._metadata())
                for message in self._call:
                    self._take(message, outbox)
            finally:
                with self._lock:
                    self._outbox = None
                outbox.close()

    def _take(self, message: ServerMessage, outbox: Outbox) -> None:
        match message.WhichOneof("message"):
            case "welcome":
                self._max_records = max(1, message.welcome.max_records)
                self.served = codec.served(message.welcome, self.served.get("checkpoints", {}))
                self.connected = True
                outbox.release()
                self._note(
                    "server-connected", f"{self._config.server}, policy {message.welcome.policy}"
                )
            case "decisions":
                try:
                    now_ns = time.monotonic_ns()
                    self._answers.append(
                        codec.decode(message.decisions, now_ns, self._config.slots)
                    )
                except ValueError as error:
                    self._note("malformed", str(error))
            case "rejected":
                counts = message.rejected.count.items()
                self._note(
                    "rejected", ", ".join(f"{reason} {count}" for reason, count in sorted(counts))
                )
        self._wake()

    def _note(self, event: str, detail: str) -> None:
        self._events.append((time.monotonic_ns(), event, detail))

    def _requests(self, outbox: Outbox) -> Iterator[AgentMessage]:
        """Hello, then, once the server has welcomed it, the batches of this stream."""
        yield codec.hello(self._config)
        sequence = 0
        for batch in outbox:
            for part in codec.split(batch, self._max_records):
                sequence += 1
                yield codec.encode(part, sequence, time.monotonic_ns(), self._config.objective)

    def _channel(self) -> grpc.Channel:
        assert self._config.server
        if self._credentials is None:
            return grpc.insecure_channel(self._config.server, _OPTIONS)
        return grpc.secure_channel(self._config.server, self._credentials, _OPTIONS)

    def _metadata(self) -> list[tuple[str, str]]:
        if self._config.token_file is None:
            return []
        return [
            (
                "authorization",
                f"Bearer {_read(self._config.token_file, 'token_file').decode().strip()}",
            )
        ]


def _credentials(config: AgentConfig) -> grpc.ChannelCredentials | None:
    if config.token_file is not None:
        _read(config.token_file, "token_file")
    if config.tls_ca is None:
        return None
    return grpc.ssl_channel_credentials(_read(config.tls_ca, "tls_ca"))


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AgentError(f"{key}: {path}: {error.strerror}") from None
