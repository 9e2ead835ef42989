"""The relay's specification file: written by Python, checked by C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from testbed.links.base import Direction, LinkSpec, Queue
from testbed.links.impairments import Loss, Policer, Reorder
from testbed.links.relay.spec import write_spec
from traces.forms import Opportunities, Steps
from traces.model import Trace

if TYPE_CHECKING:
    from conftest import Simulation

VALID = """tbtest-relay 1
log /tmp/a b.packets
direction
queue codel 60000 5000000 100000000 0
policer 8000000.0 50000
wifi 7000000
delay 20000000
jitter 1000
loss 0.01 0.3 0.0 1.0
reorder 0.02 3000000
duplicate 0.001
seed -5
capacity steps 2 2000000
0 12000000.0 0 0.0
1000000 0.0 5 0.25
direction
queue droptail 1000000
policer 0.0 0
wifi 0
delay 0
jitter 0
loss 0.0 1.0 0.0 1.0
reorder 0.0 0
duplicate 0.0
seed 0
capacity opportunities 2 0 6000000.0
0 1500
2000000 1500
end
"""


def test_the_file_says_what_the_spec_says(tmp_path: Path) -> None:
    steps = Steps(
        np.array([0, 1_000_000]),
        np.array([12e6, 0.0]),
        delay_ns=np.array([0, 5]),
        loss=np.array([0.0, 0.25]),
    )
    forward = Direction(
        capacity=Trace("steps", 2_000_000, steps),
        queue=Queue("codel", 60_000),
        delay_ns=20_000_000,
        jitter_ns=1000,
        policer=Policer(8e6, 50_000),
        wifi_ns=7_000_000,
        loss=Loss(0.01, 0.3),
        reorder=Reorder(0.02, 3_000_000),
        duplicate=0.001,
        seed=2**64 - 5,
    )
    found = Opportunities(np.array([0, 2_000_000]), np.array([1500, 1500]))
    reverse = Direction(capacity=Trace("opportunities", None, opportunities=found))
    write_spec(tmp_path / "spec", LinkSpec("test", forward, reverse), Path("/tmp/a b.packets"))
    text = (tmp_path / "spec").read_text()
    assert text == VALID.replace(" 6000000.0", f" {reverse.capacity.mean_bps()!r}")  # type: ignore[union-attr]


def test_a_valid_file_is_accepted(simulation: Simulation) -> None:
    simulation.spec.write_text(VALID)
    done = simulation.run_spec()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("wrong", "right", "line", "message"),
    [
        ("tbtest-relay 1", "tbtest-relay 2", 1, "'2' is not an integer from 1 to 1"),
        ("log /tmp/a b.packets", "log ", 2, "a value is missing"),
        ("codel 60000", "codel 100", 4, "'100' is not an integer from 1500 to 4294967295"),
        ("queue codel", "queue red", 4, "unknown queue 'red'"),
        ("jitter 1000", "jitter -1", 8, "'-1' is not an integer from 0"),
        ("jitter 1000", "jitter 1000 5", 8, "unexpected '5'"),
        ("loss 0.01", "loss 1.01", 9, "'1.01' is not a number from 0 to 1"),
        ("loss 0.01", "loss nan", 9, "'nan' is not a number from 0 to 1"),
        ("seed -5", "sed -5", 12, "'sed' instead of 'seed'"),
        ("steps 2 2000000", "steps 2 1000000", 15, "the period ends before the last step"),
        ("1000000 0.0 5", "0 0.0 5", 15, "'0' is not an integer from 1"),
        ("1000000 0.0 5", "1000000 -1 5", 15, "'-1' is not a number from 0"),
        (
            "opportunities 2 0",
            "opportunities 2 1",
            28,
            "the period ends before the last opportunity",
        ),
        ("opportunities 2 0", "pulses 2 0", 26, "unknown capacity 'pulses'"),
        ("0 1500\n2000000 1500", "0 0\n2000000 0", 28, "the trace carries nothing"),
        ("end\n", "", 29, "the file ends too early"),
        ("end\n", "end", 29, "the line is cut off"),
    ],
)
def test_an_invalid_file_is_refused_by_line(
    simulation: Simulation, wrong: str, right: str, line: int, message: str
) -> None:
    assert wrong in VALID
    simulation.spec.write_text(VALID.replace(wrong, right, 1))
    done = simulation.run_spec()
    assert done.returncode == 1
    assert f"{simulation.spec}:{line}: {message}" in done.stderr
