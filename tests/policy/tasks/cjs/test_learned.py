"""The learned scheduler: what it reads, what it may choose, and how labels become targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from policy.errors import PolicyError
from policy.model.config import ModelConfig
from policy.model.model import PolicyModel
from policy.tasks.cjs import dataset
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import (
    CANDIDATES,
    CLASSES,
    SHAPES,
    STAGES,
    class_of,
    inputs_at,
    inputs_of,
    stacked,
)
from policy.tasks.cjs.labels import Collection, collect, label_of
from policy.tasks.cjs.play import on_device, play
from policy.tasks.cjs.ppo import Settings, advantage
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.observe import new_observation
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.task import CjsTask
from policy.tasks.cjs.teacher import Teacher
from policy.tasks.cjs.workload import workload

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

JOBS = generate_jobs(5, queries=4)
CATALOGUE = build_catalogue(JOBS)
CONFIG = ModelConfig.model_validate({"task": "cjs", "kind": "direct", "control": {"hidden": 16}})


@pytest.fixture(scope="module")
def states() -> list[dict[str, np.ndarray]]:
    """Every third state of an episode that passes and chooses at random."""
    environment = ClusterEnvironment(CATALOGUE, poisson(3, range(len(JOBS)), 6, 4_000), seed=2)
    random = np.random.default_rng(1)
    environment.reset()
    samples, done = [inputs_at(environment)], False
    while not done and len(samples) < 150:
        inputs = samples[-1]
        slot = random.choice(np.flatnonzero(inputs["exists"]))
        stage = int(inputs["stage_number"][slot])
        _, done = environment.step(stage, int(random.integers(1, 20)) if stage >= 0 else 0)
        samples.append(inputs_at(environment))
    return samples[:-1:3]


@pytest.fixture(scope="module")
def model() -> PolicyModel:
    torch.manual_seed(1)
    return PolicyModel(CONFIG).eval()


def test_the_head_gives_a_distribution_over_what_exists(states, model):
    batch = stacked(states)
    with torch.inference_mode():
        log_p = model(on_device(batch, "cpu"))
    assert log_p.shape == (len(states), CANDIDATES, len(CLASSES))
    assert torch.allclose(log_p.exp().sum(dim=(1, 2)), torch.ones(len(states)), atol=1e-4)
    exists = torch.from_numpy(batch["exists"]) > 0
    assert torch.isinf(log_p[~exists]).all()
    assert not torch.isnan(log_p).any()
    # Beyond the executors to commit there is no class but the first that is enough.
    at_hand = batch["cluster"][:, 0] * batch["cluster"][:, 4] * 50
    for probabilities, count, here in zip(log_p, at_hand, exists, strict=True):
        allowed = ~torch.isinf(probabilities[1:][here[1:]])
        enough = int(np.searchsorted(CLASSES, max(count, 1) - 0.5))
        assert allowed.all(dim=0).tolist() == [number <= enough for number in range(len(CLASSES))]


def test_scores_do_not_depend_on_the_order_of_candidates_and_jobs(states, model):
    state = next(one for one in states if one["exists"].sum() > 3)
    count = int(state["exists"].sum())
    order = np.concatenate([[0], np.random.default_rng(2).permutation(np.arange(1, count))])
    order = np.concatenate([order, np.arange(count, CANDIDATES)])
    rows = np.random.default_rng(3).permutation(SHAPES["jobs"][0])
    other = dict(state)
    for name in ("stages", "jobs", "adjacency", "present"):
        other[name] = state[name][rows]
    place = state["place"].astype(int)
    moved = np.argsort(rows)[place // STAGES] * STAGES + place % STAGES
    other["place"] = np.where(state["exists"] > 0, moved, 0).astype(np.float32)
    other["place"][0] = 0
    for name in ("place", "exists", "stage_number"):
        other[name] = other[name][order]
    with torch.inference_mode():
        one, two = (model(on_device(stacked([s]), "cpu"))[0] for s in (state, other))
    assert torch.allclose(one[order], two, atol=1e-4)


def test_passing_is_offered_only_while_something_runs(states):
    assert not states[0]["exists"][0]
    assert any(state["exists"][0] for state in states[1:])


@pytest.mark.parametrize("seed", range(6))
def test_whoever_passes_whenever_it_may_still_finishes(seed: int):
    arrivals = poisson(seed, range(len(JOBS)), 4, 4_000)
    environment = ClusterEnvironment(CATALOGUE, arrivals, seed=seed)
    environment.reset()
    random, done = np.random.default_rng(seed), False
    while not done:
        inputs = inputs_at(environment)
        slot = 0 if inputs["exists"][0] else random.choice(np.flatnonzero(inputs["exists"]))
        stage = int(inputs["stage_number"][slot])
        _, done = environment.step(stage, int(random.integers(1, 20)) if stage >= 0 else 0)
    assert (environment.completion_ms() > 2_000).all()


def test_of_a_wide_job_the_candidates_are_read():
    seen = new_observation(2, 72)
    seen.present[0] = 1
    seen.candidates[0, [5, 70]] = 1
    seen.stage_number[0] = np.arange(72)
    seen.adjacency[0, 5, 70] = 1
    inputs = inputs_of(seen, passing=False)
    assert inputs["stage_number"][:4].tolist() == [-1, 5, 70, -1]
    rows = inputs["place"][1:3].astype(int) % STAGES
    assert inputs["adjacency"][0, rows[0], rows[1]] == 1


def test_labels_are_softmax_of_costs_and_the_nearest_class():
    stage_number = np.full(CANDIDATES, -1)
    stage_number[1:3] = [40, 41]
    actions = np.array([[41, 6], [40, 50], [-1, 0], [99, 3], [41, 7]])
    label = label_of(stage_number, actions, np.array([12.0, 10.0, 14.0, 0.0, 11.0]))
    assert label is not None
    # 6 and 7 executors are of one class, stage 99 is not shown.
    expected = [len(CLASSES) + 11, 2 * len(CLASSES) + class_of(6), 0]
    assert label["action"][:3].tolist() == expected
    assert label["regret_s"][:3].tolist() == [0, 1, 4]
    weights = np.exp([0, -0.5, -2.0])
    assert label["weight"][:3] == pytest.approx(weights / weights.sum())
    assert label_of(stage_number, np.array([[99, 3]]), np.zeros(1)) is None


def test_measures_of_the_best_another_and_an_unlabelled_action():
    label = {
        "action": np.array([[30, 17, 0]] * 3),
        "weight": np.array([[0.7, 0.3, 0.0]] * 3),
        "regret_s": np.array([[0.0, 5.0, 0.0]] * 3, np.float32),
    }
    output = np.full((3, CANDIDATES, len(CLASSES)), -9.0, np.float32)
    for row, place in enumerate((30, 17, 0)):
        output.reshape(3, -1)[row, place] = -0.1
    measures = CjsTask().measures(output, label)
    assert measures["regret_s"].tolist() == [0, 5, 5]
    assert measures["best"].tolist() == [1, 0, 0]
    assert measures["labelled"].tolist() == [1, 1, 0]


def test_labels_come_back_from_disk_and_give_a_finite_loss(tmp_path: Path, model):
    load = workload(None, "train")
    how = Collection(sequences=2, jobs=2)
    samples = collect([load], Teacher(horizon_ms=5_000, futures=1), how)
    for side in ("train", "validation", "test"):
        dataset.save(tmp_path, side, samples)
    kept = dataset.CjsDataset(tmp_path).samples("train", CONFIG)
    inputs, targets = kept.batch(np.arange(len(kept)))
    assert len(kept) == len(samples["action"]) > 10
    assert targets["weight"].sum(axis=1) == pytest.approx(1)
    with torch.inference_mode():
        output = model(on_device(inputs, "cpu"))
    loss = CjsTask().loss(output, {k: torch.from_numpy(v) for k, v in targets.items()}, None)
    assert 0 < float(loss) < 20


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda arrays: arrays.pop("weight"), "no array weight"),
        (lambda arrays: arrays.update(sequence=np.zeros(3)), r"arrays of \[2, 3\] samples"),
    ],
)
def test_a_damaged_dataset_is_named(tmp_path: Path, change, why: str):
    shapes = SHAPES | {"action": (8,), "weight": (8,), "regret_s": (8,), "sequence": ()}
    arrays = {name: np.zeros((2, *shape), np.float32) for name, shape in shapes.items()}
    change(arrays)
    dataset.save(tmp_path, "train", arrays)
    with pytest.raises(PolicyError, match=why):
        dataset.read(tmp_path, "train")
    (tmp_path / "test.npz").write_bytes(b"PK nothing")
    with pytest.raises(PolicyError, match="not a NumPy archive"):
        dataset.read(tmp_path, "test")


def test_a_model_plays_to_the_end_the_same_again_and_sampled(model):
    def environments() -> list[ClusterEnvironment]:
        return [
            ClusterEnvironment(CATALOGUE, poisson(seed, range(len(JOBS)), count, 4_000), seed=seed)
            for seed, count in ((1, 2), (2, 3))
        ]

    times = [play(model, environments(), sample_seed=seed) for seed in (None, None, 4)]
    assert [len(one) for one in times[0]] == [2, 3]
    assert all(np.array_equal(a, b) for a, b in zip(times[0], times[1], strict=True))
    assert all((one > 2_000).all() for some in times for one in some)


def test_one_job_alone_cannot_be_starved_by_passing(model):
    arrivals = Arrivals("one", np.array([0]), np.array([1]))
    assert play(model, [ClusterEnvironment(CATALOGUE, arrivals)], sample_seed=3)[0][0] > 2_000


def test_advantages_by_hand():
    settings = Settings(discount=0.5, trace=0.5)
    rewards, values = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [6.0]])
    last = torch.tensor([8.0])
    # Errors: 1 + 3 - 4 = 0 and 2 + 4 - 6 = 0; then an end cuts what follows.
    assert advantage(rewards, values, torch.zeros(2, 1), last, settings).tolist() == [[0], [0]]
    ended = torch.tensor([[0.0], [1.0]])
    assert advantage(rewards, values, ended, last, settings).tolist() == [[-1.0], [-4.0]]
