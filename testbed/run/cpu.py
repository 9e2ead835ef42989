"""How busy the machine was: /proc/stat sampled in a thread, because CPU starvation looks like
congestion.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.units import NS_PER_S

_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def read_cpu_times(stat: str) -> dict[str, int]:
    """Clock ticks per field, all cores, from the text of /proc/stat (proc(5))."""
    line = stat.partition("\n")[0].split()
    return dict(zip(_FIELDS, map(int, line[1:]), strict=False))


def cpu_shares(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """Fractions of all cores' time between two readings: busy (everything but idle and iowait),
    steal, softirq.
    """
    delta = {field: after[field] - before[field] for field in _FIELDS}
    total = max(1, sum(delta.values()))
    return {
        "busy": 1 - (delta["idle"] + delta["iowait"]) / total,
        "steal": delta["steal"] / total,
        "softirq": delta["softirq"] / total,
    }


class CpuSampler:
    """Context manager that samples every ``interval_ns`` into ``samples`` (rows of at_ns, busy,
    steal, softirq).
    """

    def __init__(self, interval_ns: int = NS_PER_S // 2) -> None:
        self.samples: list[dict[str, float]] = []
        self._interval_ns = interval_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        stat = Path("/proc/stat")
        before = read_cpu_times(stat.read_text())
        while not self._stop.wait(self._interval_ns / NS_PER_S):
            after = read_cpu_times(stat.read_text())
            self.samples.append({"at_ns": time.monotonic_ns(), **cpu_shares(before, after)})
            before = after
