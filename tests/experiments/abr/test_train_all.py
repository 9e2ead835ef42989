"""Which training starts when."""

import sys
from argparse import Namespace

import pytest

from experiments.abr.train_all import Planned, Pool, Run


@pytest.fixture
def out(tmp_path):
    return Namespace(out=tmp_path, minutes=0.01, parallel=1, parallel_llm=1)


def planned(name: str, **options) -> Planned:
    # A training that ends at once, whatever its arguments.
    return Planned(Run(name, (), "", 0.5, **options), name, [sys.executable, "-c", ""])


def wait(pool: Pool) -> None:
    for _, process in pool.running.values():
        process.wait()


def test_runs_wait_for_their_turn_their_teacher_and_their_time(out):
    runs = [
        planned("small"),
        planned("second"),
        planned("taught", llm=True, after="small", begin=0.1),
    ]
    pool = Pool(out, runs)
    pool.advance(0.0)
    assert set(pool.running) == {"small"}
    wait(pool)
    (out.out / "small.safetensors").touch()
    pool.advance(0.05)
    assert pool.ended == {"small": 0}
    assert set(pool.running) == {"second"}
    wait(pool)
    pool.advance(0.2)
    assert set(pool.running) == {"taught"}
    wait(pool)


def test_nothing_starts_in_what_little_time_is_left(out):
    pool = Pool(out, [planned("late")])
    pool.advance(0.95)
    assert not pool.running
    assert not pool.waiting
