"""The fast training of many short runs, next states, and the statistics of their results."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from experiments.generalist import (
    campaign,
    families,
    few_shot,
    judging,
    look,
    matrix,
    measured,
    plan,
    precision,
    rows,
    scale,
    tables,
)
from experiments.generalist.fast import build, state_of, train_fast
from experiments.generalist.gradients import Gradients
from experiments.generalist.next_state import pairs
from experiments.generalist.queue import Item, Queue
from experiments.generalist.resident import Resident, Side
from experiments.generalist.samples import few_rows, shuffled
from policy.model.joint import JointModel
from policy.training.mixture.config import MixtureConfig

pytestmark = pytest.mark.torch
TASKS = ("congestion", "abr", "cjs")


@pytest.fixture(scope="module")
def config():
    return MixtureConfig.model_validate(
        {
            "seeds": [0],
            "max_steps": 12,
            "batch_size": 4,
            "evaluate_every": 4,
            "warmup_steps": 1,
            "learning_rate": 5e-3,
            "clip": 1.0,
            "model": {
                "kind": "gru",
                "control": {"hidden": 16, "layers": 1},
                "tasks": {
                    "congestion": None,
                    "abr": None,
                    "cjs": {"encoder": {"width": 8, "sweeps": 2}},
                },
            },
        }
    )


@pytest.fixture(scope="module")
def data(config):
    """Eight samples of each task, alike in all splits."""
    torch.manual_seed(0)
    model = JointModel(config.model)
    found = {}
    for name, one in model.models.items():
        spec = one.task.inputs(one.config)
        inputs = {array.name: torch.rand(8, *array.shape) for array in spec}
        for ones in ("valid", "exists", "present"):
            if ones in inputs:
                inputs[ones] = torch.ones_like(inputs[ones])
        if "place" in inputs:
            inputs["place"] = torch.zeros_like(inputs["place"])
        targets = {
            "congestion": {"action_log2": torch.rand(8) - 0.5},
            "abr": {"regret_s": torch.rand(8, 10), "exists": torch.ones(8, 10)},
            "cjs": {
                "action": torch.full((8, 1), 9),
                "weight": torch.ones(8, 1),
                "regret_s": torch.zeros(8, 1),
            },
        }[name]
        side = Side(inputs, targets, np.repeat([0, 1], 4))
        found[name] = Resident({"train": side, "validation": side, "test": side}, 1.0)
    return found


def test_one_pass_of_the_backbone_gives_what_three_give(config, data):
    model = JointModel(config.model)
    sizes, shares = dict.fromkeys(TASKS, 3), dict.fromkeys(TASKS, 1 / 3)
    gradients = Gradients(model, config, data, sizes, shares)
    gradients._apart = False
    for chosen in gradients.rows.values():
        chosen.copy_(torch.tensor([1, 5, 2]))
    inputs = {name: one.sides["train"].at(gradients.rows[name])[0] for name, one in data.items()}
    together = gradients._outputs(inputs)
    for name, one in inputs.items():
        torch.testing.assert_close(together[name], model.models[name](one), rtol=1e-4, atol=1e-5)
    gradients.run()
    learned = list(model.parameters())
    summed = [value.grad.clone() for value in learned]
    model.zero_grad(set_to_none=False)
    for name, one in inputs.items():
        targets = data[name].sides["train"].at(gradients.rows[name])[1]
        loss = model.models[name].task.loss(
            model.models[name](one), targets, config.tasks[name].loss
        )
        (loss / 3).backward()
    for ours, value in zip(summed, learned, strict=True):
        torch.testing.assert_close(ours, value.grad, rtol=1e-3, atol=1e-5)


def test_a_step_that_does_not_depend_on_the_inputs_is_the_same_step(config, data):
    model = JointModel(config.model)
    inputs, _ = data["cjs"].sides["train"].at(torch.arange(4))
    inputs = inputs | {"present": inputs["present"].clone()}
    inputs["present"][:, 1:] = 0
    encoder = model.models["cjs"].encoder
    found = []
    for encoder.all_rows in (False, True):
        model.zero_grad()
        tokens = model.train().models["cjs"].encoder(inputs)
        tokens.square().sum().backward()
        found.append([tokens, *(p.grad for p in encoder.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def llm_config(rank):
    """A language model of two blocks with random weights."""
    llm = {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": 8,
    }
    backbone = {"architecture": llm, "layers": None, "lora": {"rank": rank, "dropout": 0.0}}
    tasks = {"congestion": None, "abr": None, "cjs": {"encoder": {"width": 8, "sweeps": 2}}}
    model = {"kind": "nioka", "backbone": backbone, "tasks": tasks}
    return MixtureConfig.model_validate({"seeds": [0], "batch_size": 3, "model": model})


@pytest.mark.parametrize("rank", [0, 4])
def test_a_lean_language_model_gives_what_the_whole_one_gives(data, rank, monkeypatch):
    monkeypatch.setattr(precision, "packable", lambda _: False)  # as on any processor
    config = llm_config(rank)
    whole = JointModel(config.model)
    for name, value in whole.trained_parameters().items():
        torch.manual_seed(len(name))
        value.data.normal_(std=0.1)
    lean = build(config, 0, torch.device("cpu"), state_of(whole))
    sizes, shares = dict.fromkeys(TASKS, 3), dict.fromkeys(TASKS, 1 / 3)
    gradients = Gradients(lean, config, data, sizes, shares)
    for chosen in gradients.rows.values():
        chosen.copy_(torch.tensor([1, 5, 2]))
    inputs = {name: one.sides["train"].at(gradients.rows[name])[0] for name, one in data.items()}
    together = gradients._outputs(inputs)
    for name, one in inputs.items():
        expected = whole.models[name](one)
        torch.testing.assert_close(together[name], expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(lean.models[name](one), expected, rtol=1e-3, atol=1e-4)


def test_a_processor_that_multiplies_bfloat16_trains_language_models_in_it(monkeypatch, config):
    processor, llm = torch.device("cpu"), llm_config(4)
    for able, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(precision, "packable", lambda _, able=able: able)
        assert precision.mixed_dtype(llm, processor) == expected
        assert precision.mixed_dtype(config, processor) is None  # a small one
    assert precision.mixed_dtype(config, torch.device("cuda")) == torch.bfloat16


def test_a_training_ends_with_its_best_weights(config, data):
    torch.manual_seed(1)
    model = JointModel(config.model)
    fixed = {name: value.clone() for name, value in model.backbone.named_parameters()}
    still = config.model_copy(update={"train_backbone": False})
    trained = train_fast(model, still, 0, data)
    assert [point["step"] for point in trained.curve] == [4, 8, 12]
    assert trained.best_loss == min(point["validation"] for point in trained.curve)
    assert trained.curve[-1]["validation"] < trained.curve[0]["validation"]
    for name, value in model.backbone.named_parameters():
        torch.testing.assert_close(value, fixed[name])
    assert all(value.requires_grad for value in model.parameters())


@pytest.mark.parametrize("limit", [4, 100])
def test_probes_read_tokens_and_blocks_on_no_more_samples_than_asked(config, data, limit):
    asked = config.model_dump() | {"model": config.model.model_dump() | {"kind": "transformer"}}
    model = JointModel(MixtureConfig.model_validate(asked).model).eval()
    seen = []
    model.backbone.register_forward_hook(lambda _, given, out: seen.append(len(out)))
    found = look.probes(model, data, limit)
    assert set(seen) == {min(limit, 8)}
    layers = asked["model"]["control"]["layers"]
    assert {name: len(one) for name, one in found.items()} == dict.fromkeys(TASKS, 1 + layers)


def test_the_next_state_is_the_next_of_the_same_session():
    shared = torch.arange(6.0)[:, None].expand(6, 43)
    side = Side({"shared": shared}, {}, np.array([0, 1, 0, 1, 0, 1]))
    now, wanted = pairs("abr", side)
    assert now.tolist() == [0, 2, 1, 3]
    expected = (torch.tensor([2.0, 4.0, 3.0, 5.0]) - 2.5) / shared[:, 0].std()
    torch.testing.assert_close(wanted[:, 0], expected)


def test_only_takes_inputs_and_answers_of_given_rows():
    side = Side({"x": torch.arange(4)}, {"y": 10 * torch.arange(4)}, np.arange(4))
    part = side.only(np.array([2, 0]), np.array([1, 3]))
    assert part.inputs["x"].tolist() == [2, 0]
    assert part.targets["y"].tolist() == [10, 30]


def test_a_share_is_a_run_of_training_samples():
    side = Side({"x": torch.arange(40)}, {"y": torch.arange(40)}, np.arange(40))
    found = few_rows(Resident({"train": side}, 1.0), 0.1, seed=1)
    assert np.diff(found).tolist() == [1, 1, 1]
    assert 0 <= found[0] <= 36


def test_noise_keeps_inputs_and_answers_but_not_which_belong_together():
    side = Side({"x": torch.arange(40)}, {"y": 10 * torch.arange(40)}, np.arange(40))
    found = shuffled(Resident({"train": side}, 1.0), seed=1).sides["train"]
    assert found.inputs["x"].tolist() == list(range(40))
    assert sorted(found.targets["y"].tolist()) == [10 * x for x in range(40)]
    assert (found.targets["y"] == 10 * found.inputs["x"]).float().mean() < 0.2


def test_a_difference_is_paired_by_unit():
    units = np.array([[1.0, 50.0, 2.0, 80.0]] * 3)
    # Whatever is drawn, one is a tenth of the other's mean better.
    mean, low, high = measured.difference(units + units.mean() / 10, units, 1.0)
    assert (mean, low, high) == pytest.approx((10.0, 10.0, 10.0))
    mean, low, high = measured.difference(units, units + np.array([[0.0], [3.0], [-3.0]]), -1.0)
    assert mean == pytest.approx(0.0)
    assert low < 0 < high


def test_the_area_of_a_curve_is_its_mean_height():
    points = {0.01: np.array([2.0, 4.0]), 0.1: np.array([2.0, 2.0]), 1.0: np.array([2.0, 4.0])}
    assert few_shot.area(points).tolist() == pytest.approx([2.0, 3.0])


def test_a_waiting_checkpoint_is_judged_once_and_by_order(tmp_path):
    queue = Queue(tmp_path)
    for order, run in ((7, "few-G@abr/1"), (2, "B/0")):
        queue.put(
            Item(order, run, "folder", "abr", run[0], 0, (0.1, "all") if order == 7 else None)
        )
    assert [queue.take().run, queue.take().point, queue.take()] == ["B/0", (0.1, "all"), None]


def test_what_had_no_memory_on_the_device_is_judged_later(tmp_path, monkeypatch):
    class Full:
        asked = 0

        def __init__(self, options):
            pass

        def judge(self, item):
            Full.asked += 1
            if Full.asked < 3:
                raise torch.OutOfMemoryError
            return {"units": {"a": 1.0}}

    monkeypatch.setattr(judging, "Judging", Full)
    monkeypatch.setattr(judging, "keep_backbones", lambda: None)
    queue = Queue(tmp_path)
    queue.put(Item(1, "G/1", "", "abr", "G", 1))
    (tmp_path / "trained").touch()
    judging.judge_all({"out": tmp_path}, until=float("inf"))
    (file,) = (tmp_path / "judged").iterdir()
    assert json.loads(file.read_text())["found"]["units"] == {"a": 1.0}


def test_what_judges_found_goes_into_the_run_and_the_point_of_its_curve(tmp_path):
    (tmp_path / "runs").mkdir()
    few = {"name": "few-G@abr/1", "row": "G", "seed": 1, "kind": "few", "left": "abr"}
    few["points"] = [{"share": 0.1, "way": "ends"}, {"share": 0.1, "way": "all"}]
    row = {"name": "G/1", "row": "G", "seed": 1, "kind": "row", "tasks": TASKS}
    for name, record in (("few", few), ("row", row), ("bad", {"failed": "x"})):
        (tmp_path / "runs" / f"{name}.json").write_text(json.dumps(record))
    queue = Queue(tmp_path)
    losses = {"validation": {"abr": 0.5}, "test": {"abr": 0.6}}
    look = {"losses": losses, "measures": {"abr": {"regret": 1.0}}, "units": {"abr": [1.0]}, "s": 1}
    for item, found in (
        (Item(1, "G/1", "", "look", "G", 1), look),
        (Item(1, "G/1", "", "abr", "G", 1), {"units": {"b": 2.0, "a": 1.0}, "s": 3}),
        (Item(2, "few-G@abr/1", "", "look", "G", 1, (0.1, "all")), look),
        (Item(2, "few-G@abr/1", "", "abr", "G", 1, (0.1, "all")), {"units": {"a": 4.0}}),
        (Item(2, "few-G@abr/1", "", "abr", "G", 1, (0.1, "ends")), {"failed": "x"}),
    ):
        queue.done(item, found)
    runs = measured.load(tmp_path)
    assert measured.by_unit(runs["G/1"], "abr", closed=True).tolist() == [1.0, 2.0]
    assert runs["G/1"]["losses"] == losses
    assert few_shot.few_points(runs, "G", "abr", "all") == {0.1: [0.6]}
    assert few_shot.few_scores(runs, "G", "abr", "all")[0.1].tolist() == [[4.0]]
    assert not few_shot.few_scores(runs, "G", "abr", "ends")


def test_families_of_recordings_and_traces():
    assert families.of_recording("bus.ljansbakken-oslo-report.log") == "3g"
    assert families.of_recording("trace_10322_http---edition.cnn.com") == "fixed"
    assert families.of_recording("trace+HPfIg1o5") == "wifi"
    assert families.of_trace("lumos5g.Walking_12") == "5g"
    assert families.of_trace("satellite-seed503") == "other"


def test_what_was_trained_and_not_judged_yet_leaves_gaps_in_the_tables():
    run = {"seed": 0, "kind": "row", "tasks": list(TASKS)}
    runs = {f"{row}/0": run | {"row": row} for row in ("B", "B-no-token", "B-4")}
    assert "| B, trained without | – | – | – |" in tables.exchanged_table(runs)
    assert len(scale.scale_table(runs).splitlines()) == 2


def test_runs_of_a_rate_that_end_at_a_good_place_are_counted():
    run = {"kind": "row", "row": "F", "rate": 0.001, "tasks": ["cjs"]}
    runs = {
        f"F-cjs/{seed}": run | {"closed": {"cjs": {"units": {"a": score, "b": score + 2}}}}
        for seed, score in enumerate([50.0, 56.0])
    }
    assert "| F | 0.001 | 2 | 1 |" in tables.by_rate_table(runs)


def test_families_that_were_not_trained_have_no_matrix():
    assert len(matrix.matrix({}).splitlines()) == 2


def test_correlations_of_ranks_by_hand():
    runs = {
        f"G/{seed}": {
            "kind": "row",
            "tasks": ["cjs"],
            "losses": {"test": {"cjs": loss}},
            "closed": {"cjs": {"units": {"a": score}}},
        }
        for seed, (loss, score) in enumerate([(0.1, 50.0), (0.2, 90.0), (0.9, 57.0)])
    }
    # Ranks 1 2 3 and 1 3 2: 1 - 6 * (0 + 1 + 1) / (3 * 8).
    assert "| scheduling | 3 | +0.50 |" in tables.correlations(runs)


def test_every_size_of_the_language_model_is_a_row_with_a_random_twin():
    for row in ("B", "E"):
        assert set(scale.sizes({}, row)) == {row} | {
            name for name in rows.ROWS if name.removeprefix(f"{row}-") in scale.SIZES
        } - {f"{row}-8"}
    for size in scale.SIZES:
        own, twin = (
            rows.config_of(rows.ROWS[f"{row}-{size}"], TASKS, 5, False, {}).model.backbone
            for row in ("B", "E")
        )
        assert twin == own.model_copy(update={"pretrained": False, "seed": 5})


def test_every_run_has_a_learning_rate():
    assert {job.group for job in plan.jobs()} == set(plan.RATES)


def test_rates_are_given_for_all_or_for_a_group():
    given = campaign.rates_of(plan.Plan(), ("0.01", "B=0.001"))
    assert given == dict.fromkeys(plan.RATES, 0.01) | {"B": 0.001}
    assert campaign.rates_of(plan.TINY, ()) == plan.RATES
    for wrong in ("X=0.1", "B=fast", "B=", "2", "nan"):
        with pytest.raises(click.BadParameter, match=f"--rate {wrong}"):
            campaign.rates_of(plan.Plan(), (wrong,))


def test_a_campaign_of_some_runs_takes_them_in_the_order_asked_for():
    assert plan.chosen([]) == plan.jobs()
    names = [job.name for job in plan.chosen(["B-4", "A-cjs/0", "B/", "no-such"])]
    seeds = [f"B/{seed}" for seed in range(5)]
    assert names == [*(f"B-4/{seed}" for seed in range(3)), "A-cjs/0", *seeds]


def test_every_run_has_a_name_of_its_own_and_comes_after_what_it_needs():
    names = [job.name for job in plan.jobs()]
    assert len(set(names)) == len(names)
    for place, job in enumerate(plan.jobs()):
        assert all(names.index(needed) < place for needed in job.needs)
