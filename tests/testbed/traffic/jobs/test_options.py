"""Options of jobs traffic: what is wrong is told in one line, with job and stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policy.errors import PolicyError
from testbed.errors import UserError
from testbed.run.plan import plan_cells
from testbed.run.prepared import resolve
from testbed.scenario import parse_scenario
from testbed.traffic import kind
from testbed.traffic.base import parse_options

BASE = {"flow": "jobs", "rate": "10mbit", "cc": "cubic"}


def profile(path: Path, parents: list[list[int]], tasks: int = 2) -> Path:
    """Profiles of one job with these parents."""
    rows = [
        {"query": 7, "size_gb": 2, "stage": number, "parents": some, "tasks": tasks,
         "levels": [5], "fresh_ms": [[900]], "first_ms": [[500]], "rest_ms": [[400]]}
        for number, some in enumerate(parents)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("parents", "tasks", "says"),
    [
        ([[], [2], [1]], 2, "query 7 at 2 GB: stages 1, 2 wait for each other"),
        ([[], [5]], 2, "query 7 at 2 GB, stage 1: parent 5 is no other stage"),
        ([[], [0]], 0, "query 7 at 2 GB, stage 0: 0 tasks"),
    ],
)
def test_bad_profiles_name_job_and_stage(
    tmp_path: Path, parents: list[list[int]], tasks: int, says: str
) -> None:
    path = profile(tmp_path / "jobs.parquet", parents, tasks)
    with pytest.raises(UserError, match=says) as error:
        parse_options(kind("jobs"), {"profiles": str(path)})
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_one_line_on_the_command_line(tmp_path: Path) -> None:
    path = profile(tmp_path / "jobs.parquet", [[1], [0]])
    command = [sys.executable, "-P", "-m", "testbed", "run", "--flow", "jobs", "--rate", "10mbit"]
    command += ["--set", f"flow_options={{profiles: {path}}}", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 2
    assert done.stderr.startswith("tbtest: ")
    assert "query 7 at 2 GB: stages 0, 1 wait for each other" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scheduler": "fare"}, "no scheduler 'fare'; known: fifo"),
        ({"scheduler": "fair,fair"}, "fair is named twice"),
        ({"flow": "bulk", "scheduler": "fair"}, "bulk traffic has no jobs to schedule"),
        ({"abr": "bola"}, "jobs traffic has no levels to choose"),
        ({"bidirectional": True}, "jobs traffic goes both ways already"),
        ({"flow": "bulk", "cross_traffic": [{"kind": "jobs"}]}, "jobs needs all measured flows"),
        ({"flow_options": {"fallback": "policy"}}, "policy policy: unknown"),
        ({"flow_options": {"sequence": "/no.json"}}, "/no.json: cannot be read"),
        ({"policy_server": "host:1", "scheduler": "policy"}, "unix sockets alone"),
        ({"scheduler": "policy:./no-such"}, "no checkpoint folder './no-such'"),
    ],
)
def test_mistakes(changes: dict[str, object], says: str) -> None:
    with pytest.raises((UserError, PolicyError), match=says):
        resolve(parse_scenario(BASE | changes, "test"))


def test_schedulers_are_an_axis_beside_controllers() -> None:
    scenario = parse_scenario(BASE | {"cc": "cubic,bbr", "scheduler": "policy,fair"}, "test")
    cells = plan_cells(scenario)
    assert {(cell.cc, cell.chooser) for cell in cells} == {
        (cc, scheduler) for cc in ("cubic", "bbr") for scheduler in ("policy", "fair")
    }
    assert {cell.folder.split("-", 1)[1] for cell in cells} >= {"cubic-fair-r0", "bbr-policy-r0"}
    assert len({cell.seed for cell in cells}) == 1
    options = parse_options(kind("jobs"), {"scheduler": "policy"})
    assert options.asked() == {"schedulers": "default"}
    assert parse_scenario(BASE | {"scheduler": "policy"}, "test").to_yaml().count("- policy") == 1


def test_sequences_of_a_seed_are_the_same() -> None:
    options = parse_options(kind("jobs"), {"jobs": 4})
    one, two, other = (options.environment(seed, 8).cluster for seed in (1, 1, 2))  # type: ignore[attr-defined]
    assert (one.job == two.job).all()
    assert not (one.job[:4] == other.job[:4]).all()
