"""One checkpoint of three tasks behind one server: one worker process answers streams, players and
clusters.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.model import info
from policy.protocol.clusters import request_of as cluster_request
from policy.protocol.levels import request_of as level_request
from policy.server.config import build
from policy.server.models import loaded, parts, tasks_beside
from policy.tasks.abr.evaluate import make_policy
from policy.tasks.abr.joint import ModelAbr
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


def test_a_checkpoint_that_ships_is_served_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(info, "BUNDLED", {"several": folder.parent})
    named = settings(folder) | {"abr": ["checkpoint", "bba"], "schedulers": ["checkpoint"]}
    config = build(named | {"models": {"transformer": "checkpoint"}}, "test")
    assert tasks_beside("transformer", config) == ("abr", "cjs")
    assert tasks_beside("transformer", build(settings(folder), "test")) == ("abr", "cjs")
    assert isinstance(make_policy("checkpoint"), ModelAbr)


def test_one_process_answers_all_three_and_may_die(folder: Path) -> None:
    from policy.model.load import load_model
    from policy.server.single import clusters, players

    with loaded(build(settings(folder), "test")) as (config, tiers, _):
        choose = players(config.abr, parts(tiers, config, "abr"))
        schedule = clusters(config.schedulers, parts(tiers, config, "cjs"))
        assert choose is not None
        assert schedule is not None
        player = level_request(session(), str(folder)).SerializeToString()
        cluster = cluster_request(observation(), "").SerializeToString()
        (worker,) = children()
        first = choose(player)
        asked = session()
        assert first.policy == str(folder)
        assert first.level == ModelAbr(load_model(folder, "cpu", "abr")).decide(asked)[0]
        assert schedule(cluster).stage in (3, 4)
        # The flows' tier is the same process.
        tier = tiers["transformer"]
        alone = load_model(folder, "cpu", "congestion")
        spec = alone.task.observation(alone.history)
        batch = spec.batch({one.name: np.ones((3, *one.shape), one.dtype) for one in spec})
        rates = alone.decide(batch, 0).pacing_rate_bps
        np.testing.assert_array_equal(tier.decide(batch, 0).pacing_rate_bps, rates)
        # Whoever asks after its death gets another process, and the same answer.
        os.kill(worker, signal.SIGKILL)
        assert schedule(cluster).stage in (3, 4)
        assert choose(player).level == first.level
        assert len(children()) == 1
        assert children() != [worker]


def children() -> list[int]:
    """Worker processes of this one."""
    tasks = Path("/proc/self/task").glob("*/children")
    found = [int(pid) for one in tasks for pid in one.read_text().split()]
    return [pid for pid in found if b"policy.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_what_is_named_once_is_loaded_for_one_task(folder: Path) -> None:
    given = settings(folder) | {"schedulers": []}
    assert tasks_beside("transformer", build(given, "test")) == ("abr",)
    assert tasks_beside("gru", build(given, "test")) == ()
