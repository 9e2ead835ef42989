"""CPU shares from recorded /proc/stat text."""

from __future__ import annotations

import pytest

from testbed.run.cpu import cpu_shares, read_cpu_times

BEFORE = "cpu  702 0 1160 396606 343 0 14 16 0 0\ncpu0 241 0 347 198820 10 0 3 6 0 0\n"
AFTER = "cpu  752 0 1180 396646 353 0 24 86 0 0\ncpu0 241 0 347 198820 10 0 3 6 0 0\n"


def test_shares_are_of_all_cores_time() -> None:
    # Deltas: user 50, system 20, idle 40, iowait 10, softirq 10, steal 70; 200 in all.
    shares = cpu_shares(read_cpu_times(BEFORE), read_cpu_times(AFTER))
    assert shares == pytest.approx({"busy": 150 / 200, "steal": 70 / 200, "softirq": 10 / 200})
