"""ABR policies as the server serves them: in process, and over gRPC beside the agents' stream."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from policy.errors import PolicyError
from policy.protocol.levels import request_of
from policy.protocol.policy_pb2_grpc import PolicyStub
from policy.server.levels import Levels
from policy.tasks.abr.measured import measured, record, set_buffer
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.video import Video

ROOT = Path(__file__).parents[3]


def session(seen: int = 3) -> Sessions:
    rates = np.array([300.0, 900.0, 2700.0])
    video = Video("v", 4000, rates, np.outer(np.ones(20), rates * 500))
    live = measured(video, qoe_of(video))
    for _ in range(seen):
        record(live, 1, 450_000.0, 1500.0, 40.0)
    set_buffer(live, 9000.0)
    return live


def test_the_answer_is_the_rules_own() -> None:
    levels = Levels(("robust-mpc", "bba:reservoir_s=1"))
    live = session()
    for name in ("robust-mpc", "bba:reservoir_s=1"):
        answer = levels.choose(request_of(live, name).SerializeToString())
        assert answer.policy == name
        assert answer.level == make_rule(name).decide(live)[0]
    assert levels.choose(request_of(live, "").SerializeToString()).policy == "robust-mpc"


@pytest.mark.torch
def test_the_default_is_the_network_that_ships() -> None:
    pytest.importorskip("torch")
    from policy.registry import ABR_DEFAULT
    from policy.tasks.abr.learned import load_policy

    live = session()
    answer = Levels(("default",)).choose(request_of(live, "").SerializeToString())
    assert answer.policy == "default"
    assert answer.level == load_policy(ABR_DEFAULT).decide(live)[0]


@pytest.mark.torch
def test_a_checkpoint_answers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from policy.tasks.abr.learned import Learned, save_net
    from policy.tasks.abr.model import LevelScorer

    torch.manual_seed(1)
    net = LevelScorer(width=16)
    path = tmp_path / "net.safetensors"
    save_net(net, path)
    live = session()
    answer = Levels((str(path),)).choose(request_of(live, str(path)).SerializeToString())
    assert answer.level == Learned(net.eval()).decide(live)[0]


def test_what_is_not_served_is_refused() -> None:
    with pytest.raises(PolicyError, match="remembers earlier chunks"):
        Levels(("bola",))
    with pytest.raises(PolicyError, match="beforehand"):
        Levels(("oracle-mean",))
    with pytest.raises(PolicyError, match="no policy 'x'"):
        Levels(("x",))
    with pytest.raises(PolicyError, match="served: mpc"):
        Levels(("mpc",)).choose(request_of(session(), "bba").SerializeToString())


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[PolicyStub]:
    config = tmp_path / "config.yaml"
    config.write_text(f"{{listen: 'unix:{tmp_path}/s', difficult: null, abr: [robust-mpc]}}")
    command = [sys.executable, "-P", "-m", "policy", str(config)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("ready")
        with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
            yield PolicyStub(channel)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        assert server.stdout is not None
        server.stdout.close()
    assert server.returncode == 0


def test_the_server_answers_players(stub: PolicyStub) -> None:
    answer = stub.Choose(request_of(session(), "robust-mpc"), timeout=60)
    assert answer.level == make_rule("robust-mpc").decide(session())[0]
    assert answer.compute_ns > 0
    broken = request_of(session(), "robust-mpc")
    broken.chunk = 0
    with pytest.raises(grpc.RpcError) as refused:
        stub.Choose(broken, timeout=60)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "chunk: 0" in refused.value.details()


def test_players_are_served_without_pytorch(tmp_path: Path) -> None:
    """Rules and the shipped network; a network that is not exported says so in one line."""
    script = f"""
import sys
sys.modules["torch"] = sys.modules["safetensors"] = None
from policy.errors import PolicyError
from policy.server.levels import Levels
from policy.tasks.abr.evaluate import make_policy
Levels(("robust-mpc", "default"))
make_policy("policy")
try:
    Levels(({str(tmp_path / "mine.safetensors")!r},))
except PolicyError as error:
    print(error)
"""
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    (line,) = done.stdout.splitlines()
    assert "mine.safetensors: a network that is not exported needs PyTorch" in line
    assert "tbtest models export" in line
