"""Tiers in processes of their own: the same answers, and what becomes of the process when either
side dies.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from policy.api import FlowBatch, PolicyContext
from policy.errors import PolicyError
from policy.registry import create
from policy.tasks.congestion.fields import FIELDS
from policy.worker.policy import WorkerPolicy
from policy.worker.process import WorkerDied, with_huge_pages

pytestmark = pytest.mark.torch
HISTORY = 8  # of the small model
SERVER = """
import sys
from policy.api import PolicyContext
from policy.worker.policy import WorkerPolicy
tier = WorkerPolicy("gru", PolicyContext(8, sys.argv[1], "cpu"), 4)
print(tier._process.pid, flush=True)
sys.stdin.read()
"""


def batch_of(flows: int, history: int = HISTORY) -> FlowBatch:
    rng = np.random.default_rng(1)
    return FlowBatch(
        flow=np.arange(flows),
        windows=rng.uniform(1e6, 1e8, (flows, history, len(FIELDS))),
        valid=rng.random((flows, history)) < 0.8,
        bandwidth_bps=rng.uniform(1e6, 1e8, flows),
        min_rtt_ns=rng.uniform(1e7, 1e8, flows),
        mss_bytes=np.full(flows, 1448.0),
    )


def gone(pidfd: int) -> bool:
    """Waits for a process to end."""
    return bool(select.select([pidfd], [], [], 30)[0])


def test_huge_pages_are_asked_for_beside_what_the_user_set() -> None:
    asked = "glibc.malloc.hugetlb=1"
    assert with_huge_pages({"A": "b"}) == {"A": "b", "GLIBC_TUNABLES": asked}
    own = {"GLIBC_TUNABLES": "glibc.malloc.check=3"}
    assert with_huge_pages(own)["GLIBC_TUNABLES"] == f"glibc.malloc.check=3:{asked}"
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert with_huge_pages(own) == own


@pytest.fixture
def start(gru: Path) -> Iterator[Callable[..., WorkerPolicy]]:
    """Makes workers of the small model; ends them."""
    made: list[WorkerPolicy] = []

    def make(rows: int = 4, restart_s: float = 0.0) -> WorkerPolicy:
        made.append(WorkerPolicy("gru", PolicyContext(64, gru, "cpu"), rows, restart_s))
        return made[-1]

    yield make
    for tier in made:
        tier.close()


def test_it_decides_as_the_tier_itself(gru: Path, start) -> None:
    tier, batch = start(rows=4), batch_of(11)
    assert (tier.name, tier.history, tier.yields, tier.max_batch) == ("gru", HISTORY, True, 4)
    expected = create("gru", PolicyContext(64, gru, "cpu")).decide(batch, 0)
    actions = tier.decide(batch, 0)
    assert len(set(actions.pacing_rate_bps)) == 11
    np.testing.assert_allclose(actions.pacing_rate_bps, expected.pacing_rate_bps, rtol=1e-5)
    np.testing.assert_allclose(actions.cwnd_packets, expected.cwnd_packets, rtol=1e-5)
    # What one call returned stays when the next one uses the memory again.
    kept = actions.pacing_rate_bps.copy()
    tier.decide(batch_of(3), 0)
    np.testing.assert_array_equal(actions.pacing_rate_bps, kept)


def test_it_takes_no_more_at_once_than_the_engine_does(start) -> None:
    assert start(rows=1000).max_batch == 64  # on a CPU


def test_another_history_is_refused_and_harms_nothing(start) -> None:
    tier = start()
    pid = tier._process.pid
    with pytest.raises(ValueError, match=r"windows of shape \(5, 22\); the policy reads \(8, 22\)"):
        tier.decide(batch_of(2, history=5), 0)
    tier.recover()
    assert len(tier.decide(batch_of(2), 0).cwnd_packets) == 2
    assert tier._process.pid == pid


def test_a_worker_that_was_killed_fails_its_batch_and_is_replaced(start) -> None:
    tier, batch = start(), batch_of(3)
    before = tier.decide(batch, 0)
    pid = tier._process.pid
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):  # until it recovers
        with pytest.raises(WorkerDied, match=r"was killed by signal 9 \(Killed\)"):
            tier.decide(batch, 0)
    tier.recover()
    assert tier._process.pid != pid
    np.testing.assert_array_equal(tier.decide(batch, 0).pacing_rate_bps, before.pacing_rate_bps)


def test_a_worker_is_not_replaced_too_soon_nor_after_the_end(start) -> None:
    tier = start(restart_s=3600.0)
    pid = tier._process.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        tier.decide(batch_of(1), 0)
    recovery = threading.Thread(target=tier.recover)
    recovery.start()
    recovery.join(0.3)
    assert recovery.is_alive()
    tier.close()
    recovery.join()
    assert tier._process.pid == pid


def test_it_tries_until_it_is_back(gru: Path, start, monkeypatch: pytest.MonkeyPatch) -> None:
    tier, batch = start(), batch_of(1)
    os.kill(tier._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        tier.decide(batch, 0)
    parked = gru.with_name("parked")
    gru.rename(parked)
    errors: Queue[str] = Queue()
    monkeypatch.setattr(
        "policy.worker.policy.log.error", lambda text, *values: errors.put(text % values)
    )
    with ThreadPoolExecutor(1) as thread:
        recovery = thread.submit(tier.recover)
        try:
            assert errors.get(timeout=60).startswith("policy gru is not back: no checkpoint folder")
        finally:
            parked.rename(gru)
        recovery.result()
        assert len(thread.submit(tier.decide, batch, 0).result().cwnd_packets) == 1


def test_only_the_server_ends_it(start) -> None:
    tier = start()
    for signum in (signal.SIGINT, signal.SIGTERM):
        os.kill(tier._process.pid, signum)
    assert len(tier.decide(batch_of(2), 0).cwnd_packets) == 2
    pidfd = os.pidfd_open(tier._process.pid)
    tier.close()
    assert gone(pidfd)
    os.close(pidfd)
    with pytest.raises(WorkerDied, match="ended with status 0"):
        tier.decide(batch_of(2), 0)


@pytest.mark.parametrize(
    "stopped", [False, True]
)  # a stopped one cannot see that its channel has closed
def test_it_dies_with_a_server_that_is_killed(gru: Path, stopped: bool) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(gru)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    worker = int(server.stdout.readline())
    pidfd = os.pidfd_open(worker)
    if stopped:
        os.kill(worker, signal.SIGSTOP)
    server.kill()
    server.communicate()
    assert gone(pidfd)
    os.close(pidfd)


def test_it_holds_the_model_and_no_grpc(start) -> None:
    mapped = Path(f"/proc/{start()._process.pid}/maps").read_text()
    assert "libtorch" in mapped
    assert "cygrpc" not in mapped


def test_what_is_wrong_with_the_model_is_told() -> None:
    with pytest.raises(
        PolicyError, match=r"^no checkpoint folder 'nowhere'; bundled with this version: "
    ):
        WorkerPolicy("gru", PolicyContext(8, "nowhere", "cpu"), 4)


@pytest.mark.parametrize(
    ("torch", "message"),
    [
        ("raise ImportError('no PyTorch')", r"PyTorch, which is not here \(no PyTorch\); install"),
        ("import os; os.kill(os.getpid(), 9)", "not loaded: its process was killed by signal 9"),
        ("raise SystemExit(3)", "not loaded: its process ended with status 3"),
    ],
)
def test_a_process_that_dies_while_it_loads_is_told(
    gru: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: str, message: str
) -> None:
    (tmp_path / "torch.py").write_text(torch)
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(PolicyError, match=message):
        WorkerPolicy("gru", PolicyContext(8, gru, "cpu"), 4)
