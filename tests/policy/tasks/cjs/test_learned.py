"""The learned scheduler: what it reads, what it may choose, and how labels become targets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from policy.errors import PolicyError
from policy.model import checkpoint
from policy.model.config import ModelConfig
from policy.model.info import resolve_scheduler
from policy.model.model import PolicyModel
from policy.tasks.cjs import dataset
from policy.tasks.cjs.actions import ACTIONS, decoded, label_of
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.clusters import ClusterProcesses, Clusters, Lockstep
from policy.tasks.cjs.encoder import GraphEncoder
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
from policy.tasks.cjs.labels import Collection, actor, collect
from policy.tasks.cjs.play import play
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.ppo import Settings, advantage
from policy.tasks.cjs.returns import fair_job_time_ms, job_time_ms, return_to_go
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import NOW
from policy.tasks.cjs.simulator.observe import new_observation
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.task import CjsTask, LossSettings
from policy.tasks.cjs.teacher import Teacher
from policy.tasks.cjs.tensors import on_device, player
from policy.tasks.cjs.workload import workload

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

JOBS = generate_jobs(5, queries=4)
CATALOGUE = build_catalogue(JOBS)
SMALL = {"task": "cjs", "kind": "direct", "control": {"hidden": 16}}
CONFIG = ModelConfig.model_validate(SMALL)
ANY = ModelConfig.model_validate(SMALL | {"encoder": {"actions": "any"}})


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


@pytest.fixture(scope="module")
def free() -> PolicyModel:
    """One that may take any action."""
    torch.manual_seed(1)
    return PolicyModel(ANY).eval()


def test_only_what_rules_propose_is_likely_and_their_numbers_are_kept(states, model):
    batch = stacked(states)
    with torch.inference_mode():
        log_p = model(on_device(batch, "cpu"))
    assert torch.allclose(log_p.exp().sum(dim=(1, 2)), torch.ones(len(states)), atol=1e-4)
    assert not torch.isnan(log_p).any()
    for row, state in enumerate(states):
        slots, rules = np.nonzero(state["proposed"] * state["exists"][:, None])
        executors = state["proposed"][slots, rules].astype(int)
        pairs = set(zip(slots.tolist(), map(class_of, executors), strict=True))
        found = np.argwhere(~torch.isinf(log_p[row]).numpy())
        assert set(map(tuple, found.tolist())) == pairs
        for slot, number in pairs:
            place = np.array([slot * len(CLASSES) + number])
            action = decoded(place, state["stage_number"][None], state["proposed"][None])
            offered = {int(n) for s, n in zip(slots, executors, strict=True) if s == slot}
            assert int(action["executors"][0]) in (offered if slot else {0})


def test_the_scheduler_that_ships_is_the_same_in_its_portable_file(states):
    runtime = pytest.importorskip("onnxruntime")
    folder = resolve_scheduler("default")
    shipped = checkpoint.load(folder)[0].eval()
    batch = stacked(states)
    with torch.inference_mode():
        expected = shipped(on_device(batch, "cpu")).exp().numpy()
    session = runtime.InferenceSession(str(folder / "portable.onnx"))
    inputs = {one.name: batch[one.name].astype(np.float32) for one in session.get_inputs()}
    assert np.exp(session.run(None, inputs)[0]) == pytest.approx(expected, abs=1e-4)


def test_without_a_proposal_that_is_shown_all_are_allowed(states, model, free):
    state = next(one for one in states if one["exists"].sum() > 3)
    hidden = state | {"proposed": np.zeros_like(state["proposed"])}
    with torch.inference_mode():
        one, other = (m(on_device(stacked([hidden]), "cpu")) for m in (model, free))
    assert torch.equal(torch.isinf(one), torch.isinf(other))


def test_states_in_which_rules_agree_are_not_shown():
    load = workload(None, "train")
    how = Lockstep([load], clusters=3, jobs=3, seed=1, alone=True)
    clusters, ended = Clusters(how), 0.0
    for _ in range(60):
        batch = clusters.observe()
        proposed = batch["proposed"] * batch["exists"][:, :, None]
        # Of each cluster, more than one pair of candidate and executors.
        for one in proposed:
            slots, rules = np.nonzero(one)
            assert len(set(zip(slots.tolist(), one[slots, rules].tolist(), strict=True))) > 1
        outcome, _ = clusters.step(clusters.advice(RULES["weighted-fair"]))
        assert (outcome["reward"] <= 0).all()
        ended += outcome["ended"].sum()
    assert ended > 0


def test_clusters_in_processes_are_those_in_one():
    load = workload(None, "train")
    how = [Lockstep([load], clusters=2, jobs=2, seed=seed) for seed in (1, 2)]
    alone = [Clusters(one) for one in how]
    with ClusterProcesses(how) as together:
        advised = together.advice(RULES["fair"])
        outcome, batch = together.step(advised)
    answers = [one.step(one.advice(RULES["fair"])) for one in alone]
    for name in batch:
        assert np.array_equal(batch[name], np.concatenate([seen[name] for _, seen in answers]))
    assert np.array_equal(outcome["reward"], np.concatenate([o["reward"] for o, _ in answers]))


def test_the_head_gives_a_distribution_over_what_exists(states, free):
    batch = stacked(states)
    with torch.inference_mode():
        log_p = free(on_device(batch, "cpu"))
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
    for name in ("place", "exists", "stage_number", "proposed"):
        other[name] = other[name][order]
    with torch.inference_mode():
        one, two = (model(on_device(stacked([s]), "cpu"))[0] for s in (state, other))
    assert torch.allclose(one[order], two, atol=1e-4)


def test_training_leaves_out_rows_without_a_job_and_gives_the_same_tokens(states):
    encoder = GraphEncoder(CONFIG, 16, 1.0)
    inputs = {name: torch.from_numpy(array) for name, array in stacked(states[::20]).items()}
    assert inputs["present"].any(dim=2).sum(dim=1).max() < inputs["present"].shape[1]
    found = {training: encoder.train(training)(inputs) for training in (True, False)}
    torch.testing.assert_close(found[True], found[False])


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
    how = Collection(sequences=2, jobs=2, processes=1)
    samples = collect([load], Teacher(horizon_ms=5_000, futures=1), how)
    for side in ("train", "validation", "test"):
        dataset.save(tmp_path, side, samples)
    kept = dataset.CjsDataset(tmp_path).samples("train", CONFIG)
    inputs, targets = kept.batch(np.arange(len(kept)))
    assert len(kept) > 10
    assert targets["weight"].sum(axis=1) == pytest.approx(1)
    with torch.inference_mode():
        output = model(on_device(inputs, "cpu"))
    tensors = {name: torch.from_numpy(values) for name, values in targets.items()}
    assert 0 < float(CjsTask().loss(output, tensors, LossSettings())) < 20
    # Where there is one action only nothing is learned.
    every = dataset.CjsDataset(tmp_path, tmp_path).samples("train", ANY)
    assert len(every) == 2 * len(samples["action"]) > 2 * len(kept)
    assert ((targets["weight"] > 0).sum(axis=1) > 1).all()


def test_the_return_of_fair_is_minus_one_from_any_state():
    environment = ClusterEnvironment(CATALOGUE, poisson(3, range(len(JOBS)), 6, 40_000), seed=2)
    environment.reset()
    fair, done, at_ms, fair_ms = RULES["fair"], False, [], []
    while not done:
        at_ms.append(int(environment.cluster.scalar[NOW]))
        fair_ms.append(fair_job_time_ms(environment.cluster))
        stage, executors = ENTRIES.choose(environment.cluster, fair.number, fair.array())
        _, done = environment.step(stage, executors)
    assert len(at_ms) > 30
    assert min(fair_ms) > 0
    assert [job_time_ms(environment.cluster, at) for at in at_ms] == fair_ms
    assert return_to_go(150, 100) == -1.5
    assert return_to_go(10**9, 0) == -4


def test_a_decision_transformer_learns_what_was_taken_and_is_asked_for_a_return(
    tmp_path: Path, states
):
    asked = ModelConfig.model_validate(SMALL | {"objective": "decision-transformer"})
    how = Collection(sequences=2, jobs=3, processes=1)
    samples = collect([workload(None, "train")], Teacher(horizon_ms=5_000, futures=1), how)
    for side in ("train", "validation", "test"):
        dataset.save(tmp_path, side, samples)
    kept = dataset.CjsDataset(tmp_path).samples("train", asked)
    inputs, targets = kept.batch(np.arange(len(kept)))
    assert {spec.name for spec in CjsTask().inputs(asked).arrays} == set(inputs)
    # Those who only follow the teacher would find its best action, the first one, each time.
    first = samples["action"][:, 0][(samples["weight"] > 0).sum(axis=1) > 1]
    assert 0.5 < (targets["action"][:, 0] == first).mean() < 1
    assert -4 <= inputs["return_to_go"].min() < kept.target_return() < 0
    torch.manual_seed(1)
    model = PolicyModel(asked).eval()
    with torch.inference_mode():
        poor, good = (model(on_device(stacked(states), "cpu", wanted)) for wanted in (-2, -0.5))
    assert not torch.allclose(poor.exp(), good.exp())
    loss = CjsTask().loss(
        poor[:1],
        {k: torch.from_numpy(v[:1]) for k, v in targets.items()},
        LossSettings(regret=1, cross_entropy=0),
    )
    assert float(loss) == 0
    checkpoint.save(tmp_path / "model", model, card="", training={}, target_return=-0.8)
    assert actor(tmp_path / "model")(states[0])[1] >= 0


def test_the_loss_is_expected_regret_and_cross_entropy_by_hand():
    output = torch.full((1, CANDIDATES, len(CLASSES)), float("-inf"))
    output.view(1, -1)[0, [30, 17, 5]] = torch.tensor([0.5, 0.25, 0.25]).log()
    targets = {
        "action": torch.tensor([[30, 17, 0]]),
        "weight": torch.tensor([[0.75, 0.25, 0.0]]),
        "regret_s": torch.tensor([[0.0, 8.0, 0.0]]),
    }
    # Half of the mass is on the best, a quarter each on what costs 8 s and on what is unknown.
    loss = partial(CjsTask().loss, output, targets)
    assert float(loss(LossSettings(cross_entropy=0))) == pytest.approx(0.5 * 8 / 2)
    entropy = -(0.75 * np.log(0.5) + 0.25 * np.log(0.25))
    assert float(loss(LossSettings(regret=0, cross_entropy=1))) == pytest.approx(entropy)


def test_a_checkpoint_leads_and_the_teacher_labels(tmp_path: Path, states):
    follower = PolicyModel(CONFIG)
    with torch.no_grad():
        follower.head.rule[-1] = 1_000.0
    checkpoint.save(tmp_path / "actor", follower, card="", training={})
    act = actor(tmp_path / "actor")
    for state in states:
        proposed = state["proposed"] * state["exists"][:, None]
        slots = np.flatnonzero(proposed[:, -1])
        if len(slots):
            slot, stage = slots[0], int(state["stage_number"][slots[0]])
            number = class_of(int(proposed[slot, -1]))
            offers = {int(n) for n in proposed[slot] if n and class_of(int(n)) == number}
            chosen = act(state)
            assert chosen[0] == stage
            assert chosen[1] in (offers if stage >= 0 else {0})
    how = Collection(sequences=1, jobs=2, explore=0, processes=1, actor=tmp_path / "actor")
    led = collect([workload(None, "train")], Teacher(horizon_ms=5_000, futures=1), how)
    assert (led["weight"].sum(axis=1) > 0.99).all()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda arrays: arrays.pop("weight"), "no array weight"),
        (lambda arrays: arrays.update(sequence=np.zeros(3)), r"arrays of \[2, 3\] samples"),
    ],
)
def test_a_damaged_dataset_is_named(tmp_path: Path, change, why: str):
    shapes = SHAPES | {"action": (ACTIONS,), "weight": (ACTIONS,), "regret_s": (ACTIONS,)}
    shapes |= {"sequence": (), "taken": (), "return_to_go": ()}
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

    times = [play(player(model, sample_seed=seed), environments()) for seed in (None, None, 4)]
    assert [len(one) for one in times[0]] == [2, 3]
    assert all(np.array_equal(a, b) for a, b in zip(times[0], times[1], strict=True))
    assert all((one > 2_000).all() for some in times for one in some)


def test_one_job_alone_cannot_be_starved_by_passing(model):
    arrivals = Arrivals("one", np.array([0]), np.array([1]))
    assert (
        play(player(model, sample_seed=3), [ClusterEnvironment(CATALOGUE, arrivals)])[0][0] > 2_000
    )


def test_advantages_by_hand():
    settings = Settings(discount=0.5, trace=0.5)
    rewards, values = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [6.0]])
    last = torch.tensor([8.0])
    # Errors: 1 + 3 - 4 = 0 and 2 + 4 - 6 = 0; then an end cuts what follows.
    assert advantage(rewards, values, torch.zeros(2, 1), last, settings).tolist() == [[0], [0]]
    ended = torch.tensor([[0.0], [1.0]])
    assert advantage(rewards, values, ended, last, settings).tolist() == [[-1.0], [-4.0]]
