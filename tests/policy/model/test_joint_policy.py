"""One checkpoint of the three tasks, asked in each of the ways in which a server asks."""

from __future__ import annotations

import numpy as np
import pytest

from policy.api import PolicyContext
from policy.model import joint_checkpoint
from policy.model.errors import ModelError
from policy.model.joint import JointModel
from policy.model.joint_config import JointConfig
from policy.model.joint_policy import load_policies
from policy.registry import create
from policy.server import levels, placements
from policy.tasks.registry import learned_task

pytestmark = pytest.mark.torch
TASKS = ("congestion", "abr", "cjs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small random GRU for the three tasks."""
    config = {
        "kind": "gru",
        "control": {"hidden": 16, "layers": 1},
        "tasks": {"congestion": None, "abr": None, "cjs": {"encoder": {"width": 8, "sweeps": 2}}},
    }
    model = JointModel(JointConfig.model_validate(config))
    records = {
        task: joint_checkpoint.TaskRecord(learned_task(task).serving_settings()) for task in TASKS
    }
    folder = tmp_path_factory.mktemp("joint") / "checkpoint"
    joint_checkpoint.save(folder, model, card="", training={}, tasks=records)
    return folder


def batch_of(policy, n=3):
    """A batch of ones, in which every candidate exists and is the first stage."""
    spec = policy.task.observation(policy.history)
    arrays = {array.name: np.ones((n, *array.shape), array.dtype) for array in spec}
    if "place" in arrays:
        arrays["place"][:] = 0
    return spec.batch(arrays)


def test_one_backbone_answers_batches_of_all_tasks(folder):
    policies = load_policies(folder, "cpu")
    assert tuple(policies) == TASKS
    # As a server's stream, its players and its clusters load it, each for itself.
    alone = {
        "congestion": create("gru", PolicyContext(4, folder, "cpu"), "congestion"),
        "abr": levels.served(str(folder))._model,
        "cjs": placements._loaded(str(folder)),
    }
    for task, policy in policies.items():
        batch = batch_of(policy)
        together, apart = policy.decide(batch, 0), alone[task].decide(batch, 0)
        for name in policy.task.action().names:
            answer = getattr(together, name)
            assert answer.shape == (3,)
            np.testing.assert_allclose(answer, getattr(apart, name), rtol=1e-5)


def test_a_part_that_is_not_there_is_told(folder):
    with pytest.raises(ModelError, match="'congestion', 'abr', 'cjs'; 'toy' is wanted"):
        create("gru", PolicyContext(4, folder, "cpu"), "toy")


def test_the_checkpoint_that_ships_says_what_it_serves():
    from policy.model.info import read_info, resolve

    info = read_info(resolve("generalist"))
    assert info.tasks == ("congestion", "abr", "cjs")
    assert (info.folder / "README.md").is_file()
