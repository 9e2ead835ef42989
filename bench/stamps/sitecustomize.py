"""Stamps along a decision's way, in the agent, the policy server and the LLM's worker.

Python imports this file at the start of every process whose PYTHONPATH names its folder, which
`bench/decision_path.py` sets. It wraps the functions where a window passes on, keeps (stage, number
of the window, CLOCK_MONOTONIC in ns) in memory, and writes them to $TBTEST_STAMPS when the process
ends. The product knows nothing of it.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_STAMPS: list[tuple[str, int, int]] = []
_FOLDER = os.environ.get("TBTEST_STAMPS")


def _stamp(stage: str, windows: Iterable[int]) -> None:
    now_ns = time.monotonic_ns()
    _STAMPS.extend((stage, int(window), now_ns) for window in windows)


def _around(
    owner: Any,
    name: str,
    before: Callable[..., None] | None,
    after: Callable[..., None] | None = None,
) -> None:
    """Call `before(*arguments)` and `after(result, *arguments)` around a function."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        result = inner(*arguments, **named)
        if after is not None:
            after(result, *arguments)
        return result

    setattr(owner, name, wrapped)


def _agent() -> None:
    from agent import client, codec
    from agent.agent import Agent

    def asked(stage: str, batch: Any) -> None:
        _stamp(stage, batch.windows["window"].tolist())

    _around(client.PolicyClient, "send", lambda _, batch, now_ns: asked("noticed", batch))
    _around(codec, "encode", None, lambda _, batch, *rest: asked("encoded", batch))
    _around(
        codec,
        "decode",
        None,
        lambda answers, *rest: _stamp(f"received:{answers.tier[0]}", answers.window.tolist()),
    )

    def applying(_: Any, batches: Any) -> None:
        for answers in batches:
            _stamp(f"applying:{answers.tier[0]}", answers.window.tolist())

    _around(Agent, "_apply", applying)


def _server() -> None:
    import numpy as np

    from policy.protocol import policy_pb2
    from policy.server import grpc_server, service
    from policy.server.core import Core
    from policy.server.streams import Streams

    last: list[list[int]] = [[]]

    def windows(state: Any) -> list[int]:
        return [int(w) for w in np.frombuffer(state.windows.window, "<i8")]

    _around(Streams, "receive", lambda _, session, state, now_ns: _stamp("arrived", windows(state)))
    _around(
        Core,
        "tick",
        lambda core, now_ns: _stamp(
            "tick", [w for part in core.streams.parts for w in _raw(part.windows)]
        ),
    )

    def _raw(columns: Any) -> list[int]:
        return [int(w) for w in np.frombuffer(columns.data[2], "<i8")] if columns.length else []

    def taken(job: Any, core: Any, name: str, now_ns: int) -> None:
        if job is not None:
            last[0] = job.asked.window.tolist()
            _stamp("taken:llm", last[0])

    _around(Core, "next_job", None, taken)
    from policy.worker.process import WorkerProcess

    _around(
        WorkerProcess,
        "decide",
        lambda *rest: _stamp("asking:llm", last[0]),
        lambda *rest: _stamp("told:llm", last[0]),
    )
    _around(Core, "finish", lambda _, job, *rest: _stamp("finishing:llm", job.asked.window))

    def put(_: Any, message: Any) -> None:
        if message.WhichOneof("message") == "decisions":
            decisions = message.decisions
            numbers = np.frombuffer(decisions.window, "<i8").tolist()
            _stamp(f"put:{decisions.tier}", numbers)

    _around(service.Outbox, "put", put)
    serialize = policy_pb2.ServerMessage.SerializeToString

    def writing(message: Any) -> bytes:
        if message.WhichOneof("message") == "decisions":
            numbers = np.frombuffer(message.decisions.window, "<i8").tolist()
            _stamp(f"writing:{message.decisions.tier}", numbers)
        return serialize(message)

    class Stamped:
        """`pb.ServerMessage` as the server's edge names it."""

        SerializeToString = staticmethod(writing)

    class Messages:
        """policy_pb2 with that."""

        def __getattr__(self, name: str) -> Any:
            return Stamped if name == "ServerMessage" else getattr(policy_pb2, name)

    setattr(grpc_server, "pb", Messages())  # noqa: B010 (the module does not export it)


def _worker() -> None:
    from policy.model.portable import PortableEngine

    _around(
        PortableEngine,
        "run",
        lambda *rest: _STAMPS.append(("forward", -1, time.monotonic_ns())),
        lambda *rest: _STAMPS.append(("computed", -1, time.monotonic_ns())),
    )


def _write() -> None:
    file = Path(_FOLDER or ".") / f"{_KIND}-{os.getpid()}.json"
    file.write_text(json.dumps(_STAMPS), encoding="utf-8")


_PARTS = {"agent": _agent, "policy": _server, "policy.worker": _worker}
_KIND = next((sys.orig_argv[i + 1] for i, a in enumerate(sys.orig_argv[:-1]) if a == "-m"), "")
if _FOLDER and _KIND in _PARTS:
    if _KIND != "policy.worker":
        from policy.protocol.latency import prefer_latency

        prefer_latency()
    _PARTS[_KIND]()
    atexit.register(_write)
