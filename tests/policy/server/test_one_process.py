"""One checkpoint of three tasks behind one server: one worker process answers streams, players and
clusters.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from policy.protocol.clusters import request_of as cluster_request
from policy.protocol.levels import request_of as level_request
from policy.protocol.policy_pb2_grpc import PolicyStub
from policy.server.config import build
from policy.server.models import loaded, parts, tasks_beside
from tests.policy.server.test_grpc_server import Server, Stream, start
from tests.policy.server.test_levels import session
from tests.policy.server.test_placements import observation

pytestmark = pytest.mark.torch
TASKS = ("congestion", "abr", "cjs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random transformer for the three tasks."""
    from policy.model import joint_checkpoint
    from policy.model.joint import JointModel
    from policy.model.joint_config import JointConfig
    from policy.tasks.registry import learned_task

    config = {
        "kind": "transformer",
        "control": {"hidden": 16, "layers": 1, "heads": 2},
        "tasks": {"congestion": None, "abr": None, "cjs": {"encoder": {"width": 8, "sweeps": 2}}},
    }
    made: Path = tmp_path_factory.mktemp("joint") / "checkpoint"
    joint_checkpoint.save(
        made,
        JointModel(JointConfig.model_validate(config)),
        card="",
        training={},
        tasks={
            task: joint_checkpoint.TaskRecord(learned_task(task).serving_settings())
            for task in TASKS
        },
    )
    return made


def settings(folder: Path) -> dict[str, Any]:
    return {
        "difficult": "transformer",
        "models": {"transformer": str(folder)},
        "abr": [str(folder), "bba"],
        "schedulers": [str(folder)],
        "device": "cpu",
    }


def children(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_one_process_answers_all_three_and_may_die(  # type: ignore[no-untyped-def]
    tmp_path: Path, folder: Path, make_agent
) -> None:
    server = Server(tmp_path, log="warning", **settings(folder))
    try:
        (worker,) = children(server)
        with grpc.insecure_channel(server.address) as channel:
            stub = PolicyStub(channel)  # type: ignore[no-untyped-call]
            stream = Stream(channel)
            agent = make_agent(queue_ms=100.0)
            start(stream, agent, "apc", deadline_ns=60_000_000_000)
            stream.send(agent.window())
            assert [stream.receive().decisions.tier for _ in range(2)] == [
                "persistence",
                "transformer",
            ]
            first = stub.Choose(level_request(session(), str(folder)), timeout=30)
            assert 0 <= first.level <= 2
            assert stub.Schedule(cluster_request(observation(), ""), timeout=30).stage in (3, 4)
            # Whoever asks next gets another process, and the same answer.
            os.kill(worker, signal.SIGKILL)
            again = stub.Choose(level_request(session(), str(folder)), timeout=60)
            assert (again.level, again.policy) == (first.level, str(folder))
            assert children(server) != [worker]
            stream.close()
    finally:
        assert server.stop() == 0


def test_answers_are_those_of_the_tasks_loaded_apart(folder: Path) -> None:
    from policy.model.policy import load_model

    with loaded(build(settings(folder), "test")) as (config, tiers, _):
        found = {task: parts(tiers, config, task)[str(folder)] for task in ("abr", "cjs")}
        for task, part in found.items():
            alone = load_model(folder, "cpu", task)
            spec = alone.task.observation(alone.history)
            arrays = {array.name: np.ones((3, *array.shape), array.dtype) for array in spec}
            if "place" in arrays:
                arrays["place"][:] = 0
            batch = spec.batch(arrays)
            for name in alone.task.action().names:
                ours = getattr(part.decide(batch, 0), name)
                np.testing.assert_array_equal(ours, getattr(alone.decide(batch, 0), name))


def test_what_is_named_once_is_loaded_for_one_task(folder: Path) -> None:
    given = settings(folder) | {"schedulers": []}
    assert tasks_beside("transformer", build(given, "test")) == ("abr",)
    assert tasks_beside("gru", build(given, "test")) == ()
