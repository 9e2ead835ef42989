"""How long a training goes on, and the mean of its weights."""

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from policy.tasks.abr.training import schedule  # noqa: E402
from policy.tasks.abr.training.schedule import Schedule, running_mean  # noqa: E402


def test_rounds_alone_count_down():
    counted = Schedule(4, 0)
    assert [counted.left(done) for done in range(5)] == [1, 0.75, 0.5, 0.25, 0]


def test_a_limit_of_time_ends_it_before_a_round_that_would_not_end_in_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
    limited = Schedule(1000, minutes=1)
    assert limited.left(0) == 1
    now[0] = 130.0
    assert limited.left(10) == pytest.approx(0.5)
    now[0] = 150.0
    # Two rounds of 25 s each: a third would not end by 60 s.
    assert limited.left(2) == 0


def test_the_mean_follows_the_weights():
    net = torch.nn.Linear(1, 1)
    mean = running_mean(net)
    for value in (1.0, *[3.0] * 30):
        torch.nn.init.constant_(net.weight, value)
        mean.update_parameters(net)
    assert 1.0 < mean.module.weight.item() < 3.0
    for _ in range(5000):
        mean.update_parameters(net)
    assert mean.module.weight.item() == pytest.approx(3.0, abs=1e-3)
