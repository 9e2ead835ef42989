"""Schedulers as the server serves them: what is asked, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.protocol import policy_pb2 as pb
from policy.protocol.clusters import observation_of, request_of
from policy.tasks.base import Arrays
from policy.tasks.cjs.inputs import CANDIDATES, JOBS, SHAPES, STAGES


def observation() -> Arrays:
    """Two candidates beside passing: stages 3 and 4 of the only job."""
    random = np.random.default_rng(1)
    arrays: Arrays = {
        name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()
    }
    for name in ("adjacency", "present", "place", "exists", "proposed"):
        arrays[name][:] = 0
    arrays["present"][0, :2] = 1
    arrays["adjacency"][0, 0, 1] = 1
    arrays["place"][1:3] = [0, 1]
    arrays["exists"][1:3] = 1
    arrays["proposed"][1:3, :2] = [[6, 0], [0, 11]]
    arrays["cluster"][[0, 4]] = [1.0, 16 / 50]
    arrays["stage_number"] = np.full(CANDIDATES, -1, np.int64)
    arrays["stage_number"][1:3] = [3, 4]
    return arrays


def test_a_request_holds_the_observation() -> None:
    asked = observation()
    found = observation_of(pb.ClusterRequest.FromString(request_of(asked, "x").SerializeToString()))
    assert set(found) == set(asked)
    for name, values in asked.items():
        np.testing.assert_array_equal(found[name][0], values)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("jobs", lambda data: data[:-1], "jobs: 319 bytes, 320 are needed"),
        ("jobs", lambda data: b"\0\0\xc0\x7f" + data[4:], "jobs: a value is not a finite number"),
        ("place", lambda data: b"\0\0\x20\x4a" + data[4:], f"0 to {JOBS * STAGES - 1}"),
        ("exists", lambda data: bytes(len(data)), "nothing to choose"),
    ],
)
def test_malformed_arrays_are_named(name: str, change, says: str) -> None:  # type: ignore[no-untyped-def]
    request = request_of(observation(), "")
    request.observation[name] = change(request.observation[name])
    with pytest.raises(PolicyError, match=says):
        observation_of(request)
    del request.observation[name]
    with pytest.raises(PolicyError, match="give the arrays stages"):
        observation_of(request)


@pytest.mark.torch
def test_a_checkpoint_answers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from policy.model import checkpoint
    from policy.model.config import ModelConfig
    from policy.model.model import PolicyModel
    from policy.server.placements import Placements

    torch.manual_seed(1)
    config = ModelConfig.model_validate(
        {"kind": "direct", "task": "cjs", "encoder": {"width": 8, "sweeps": 2}}
    )
    folder = tmp_path / "checkpoint"
    checkpoint.save(folder, PolicyModel(config), card="", training={})
    placements = Placements((str(folder),))
    answer = placements.schedule(request_of(observation(), str(folder)).SerializeToString())
    assert answer.policy == str(folder)
    assert answer.stage in (3, 4)  # passing is not possible here
    assert answer.executors == {3: 6, 4: 11}[answer.stage]
    assert answer.compute_ns > 0
    with pytest.raises(PolicyError, match="no scheduler 'other'"):
        placements.schedule(request_of(observation(), "other").SerializeToString())
    with pytest.raises(PolicyError, match="bundled"):
        Placements(("no-such-folder",))
