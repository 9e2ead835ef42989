"""The network that ships schedules simulated clusters, with PyTorch or without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
CLUSTERS = """
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.sequences import poisson
from policy.tasks.cjs.sources.synthetic import generate_jobs

jobs = generate_jobs(3)
catalogue = build_catalogue(jobs)

def clusters():
    return [
        ClusterEnvironment(catalogue, poisson(seed, range(len(jobs)), 4, 4_000), seed=seed)
        for seed in (1, 2)
    ]
"""
WITHOUT = f"""
import sys
sys.modules["torch"] = sys.modules["safetensors"] = None
{CLUSTERS}
from policy.model.info import resolve_scheduler
from policy.tasks.cjs.play import load_player, play

for times in play(load_player(resolve_scheduler("default")), clusters()):
    print(*times)
"""


@pytest.mark.torch
def test_without_pytorch_jobs_end_when_they_do_with_it() -> None:
    pytest.importorskip("torch")
    from policy.model import checkpoint
    from policy.model.info import resolve_scheduler
    from policy.tasks.cjs.play import play
    from policy.tasks.cjs.tensors import player

    command = [sys.executable, "-P", "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = [[int(time) for time in line.split()] for line in done.stdout.splitlines()]
    names: dict[str, object] = {}
    exec(CLUSTERS, names)
    model, info = checkpoint.load(resolve_scheduler("default"), task="cjs")
    clusters = names["clusters"]
    assert callable(clusters)
    expected = play(player(model, target_return=info.target_return), clusters())
    assert found == [times.tolist() for times in expected]
