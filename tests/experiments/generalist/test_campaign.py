"""Who runs what in a campaign: the order of each GPU, and what is never run again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from experiments.generalist import campaign, measured, plan, queue, records, runs

pytestmark = pytest.mark.torch


def test_each_gpu_has_its_own_runs_or_all_have_the_same():
    both = campaign.plans_of(["0", "3"], ("G/0,B/1",), [])
    assert {device: [job.name for job in jobs] for device, jobs in both.items()} == {
        "0": ["G/0", "B/1"],
        "3": ["G/0", "B/1"],
    }
    own = campaign.plans_of(["0", "3"], ("B-qwen-1.5b/0", "G/0"), [0.001])
    assert [job.name for job in own["0"]] == ["rate-B-qwen-0.5b@0.001/0", "B-qwen-1.5b/0"]
    assert [job.name for job in own["3"]] == ["rate-G@0.001/0", "rate-G@0.001/1", "G/0"]
    with pytest.raises(click.BadParameter, match="once for each of 3 GPUs"):
        campaign.plans_of(["0", "1", "2"], ("G", "B"), [])


@pytest.mark.parametrize(
    ("small", "expected"), [(False, ["B-qwen-0.5b/0", "B/0", "G/1"]), (True, ["G/1", "B/0"])]
)
def test_what_is_recorded_is_not_run_again_and_one_process_has_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool, expected: list[str]
):
    for name in ("taken", "runs"):
        (tmp_path / name).mkdir()
    (tmp_path / "runs" / "G+0.json").write_text("{}")
    (tmp_path / "taken" / "C+0").mkdir()
    began: list[str] = []

    def run(job: plan.Job, _order: int) -> runs.Run:
        began.append(job.name)
        return {"tasks": job.tasks}
        yield

    monkeypatch.setattr(
        runs,
        "Runner",
        lambda _options: SimpleNamespace(
            run=run, ready=lambda _job: True, device=SimpleNamespace(type="cpu")
        ),
    )
    options: dict[str, Any] = {
        "out": tmp_path,
        "slots": 1,
        "jobs": plan.chosen(["G/0", "C/0", "B-qwen-0.5b/0", "B/0", "G/1"]),
    }
    campaign.train(options, float("inf"), small)
    assert began == expected


def test_a_curve_that_was_cut_off_keeps_what_was_judged_of_it_until_it_is_run_again(
    tmp_path: Path,
):
    (tmp_path / "runs").mkdir()
    (job,) = plan.chosen(["few-E@abr/0"])
    file = tmp_path / "runs" / "few-E@abr+0.part"
    point = {"share": 0.01, "way": "all", "best_loss": 0.5}
    records.write(file, job, {"left": "abr", "stopped": True, "points": [point]})
    item = queue.Item(3, job.name, "", "look", "E", 0, (0.01, "all"))
    found = {"losses": {"validation": {"abr": 0.4}, "test": {"abr": 0.3}}, "measures": {"abr": {}}}
    queue.Queue(tmp_path).done(item, found)
    (run,) = measured.load(tmp_path).values()
    assert (run["name"], run["row"], run["seed"], run["kind"]) == (job.name, "E", 0, "few")
    assert run["stopped"]
    assert run["points"][0]["test"] == 0.3

    both = [point, point | {"way": "scratch"}]
    records.write(file.with_suffix(".json"), job, {"left": "abr", "points": both})
    (run,) = measured.load(tmp_path).values()
    assert len(run["points"]) == 2
    assert "stopped" not in run
    assert sorted(one.name for one in (tmp_path / "runs").iterdir()) == [
        "few-E@abr+0.json",
        "few-E@abr+0.part",
    ]
