"""Job graphs as JSON lines: what is read, and what is refused with line, job and task."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from policy.errors import PolicyError
from policy.tasks.cjs.sources.files import read_jobs

FILE = Path(os.environ.get("TBTEST_CJS", Path(__file__).parents[5] / "shared" / "cjs"))


def task(name: str, parents: list[str], instances: object = 3, duration: object = 1.5):  # type: ignore[no-untyped-def]
    return {"name": name, "parents": parents, "instances": instances, "duration": duration}


def write(path: Path, *jobs: list[dict[str, object]]) -> Path:
    lines = [json.dumps({"job": f"j{n}", "tasks": tasks}) for n, tasks in enumerate(jobs)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_graph_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [task("M1", []), task("R2_1", ["M1"], 2, 0.25)])
    (job,) = read_jobs(path)
    assert [stage.parents for stage in job.stages] == [(), (0,)]
    assert [stage.tasks for stage in job.stages] == [3, 2]
    assert [stage.mean_ms() for stage in job.stages] == [1500, 250]


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([task("a", ["b"]), task("b", ["a"])], "job j0: .*stages 0, 1 wait for each other"),
        ([task("a", ["x"])], "job j0, task a: parent x is no task"),
        ([task("a", []), task("a", [])], "two tasks have the same name"),
        ([task("a", [], 0)], "job j0: .*stage 0: 0 tasks"),
        ([task("a", [], "3")], "task a: give parents"),
        ([task("a", [], 1, -1)], "task a: duration -1"),
        ([task("a", [], 1, float("nan"))], "task a: duration nan"),
        ([], "job j0: .*0 stages"),
    ],
)
def test_mistakes(tmp_path: Path, tasks: list[dict[str, object]], says: str) -> None:
    path = write(tmp_path / "a.jsonl", tasks)
    with pytest.raises(PolicyError, match=says) as error:
        read_jobs(path)
    assert f"{path}, line 1" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tasks": 3}', '{"tasks": [1]}'])
def test_what_is_no_graph(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(PolicyError, match=str(path)):
        read_jobs(path)


def test_graphs_of_a_production_cluster() -> None:
    path = FILE / "alibaba.jsonl"
    if not path.exists():
        pytest.skip("no job graphs beside the checkout")
    jobs = read_jobs(path)
    assert len(jobs) == 1051
    assert max(len(job.stages) for job in jobs) == 72
    assert sum(len(job.stages) for job in jobs) / len(jobs) == pytest.approx(7.0, abs=0.05)
