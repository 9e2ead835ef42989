"""The program of the guest, ``python -m experiments.aqm.inside``: every cell of the plan on both
bottlenecks; a line of JSON for each on standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.aqm import links, load
from testbed.errors import UserError
from testbed.links.queues import QueueKind
from testbed.virtual.job import FOLDER

NS = 1_000_000_000
RATE_BPS = 20e6
RTT_NS = 40_000_000
FLOWS = 16
WARM_UP_NS = 5 * NS
_HALF_NS = 400_000_000
_HIGH, _LOW = 1.25, 0.6  # of the capacity; the queue that the first builds up the second drains
_RB_POWER_OFF = 0x4321FEDC  # linux/reboot.h


@dataclass(frozen=True)
class Cell:
    """What is asked of a queue: ``load`` is open (a schedule), reno, or l4s (half of the flows
    scalable and ECT(1)). Without ``ecn`` its packets cannot be marked.
    """

    kind: QueueKind
    load: str
    ecn: bool
    seed: int


def measure(cell: Cell, where: str, length_s: float) -> dict[str, Any]:
    """One cell on one bottleneck: shares of packets, and the sojourn until a packet's own
    transmission begins, ms, by the flow's codepoint.
    """
    open_link = links.relay if where == "relay" else links.kernel
    length_ns = round(length_s * NS)
    with open_link(cell.kind, RATE_BPS, ecn=cell.ecn) as ends:
        if cell.load == "open":
            ecn = [load.ECT0 if cell.ecn else load.NOT_ECT]
            at_ns = load.alternating(RATE_BPS, _HIGH, _LOW, _HALF_NS, length_ns, cell.seed)
            seen = load.scheduled(ends, at_ns, ecn[0], NS)
        else:
            plain = load.ECT0 if cell.ecn else load.NOT_ECT
            flows = FLOWS + cell.seed % 3
            ecn = [
                load.ECT1 if cell.load == "l4s" and number % 2 else plain for number in range(flows)
            ]
            seen = load.responsive(ends, ecn, RTT_NS, WARM_UP_NS + 2 * length_ns, WARM_UP_NS)
    own_ms = load.PACKET_BYTES * 8e3 / RATE_BPS
    row: dict[str, Any] = {**asdict(cell), "where": where}
    for name, codepoint in (("classic", ecn[0]), ("l4s", load.ECT1)):
        mine = np.isin(seen.flow, [n for n, found in enumerate(ecn) if found == codepoint])
        if mine.any() and (name == "classic" or cell.load == "l4s"):
            delay_ms = seen.delay_ns[mine] / 1e6 - own_ms
            row[name] = {
                "packets": int(mine.sum()),
                "marked": float(seen.marked[mine].mean()),
                "longest_marked": longest_run(seen.marked[mine]),
                "dropped": float(seen.lost[mine].sum() / (mine.sum() + seen.lost[mine].sum())),
                "p50_ms": float(np.percentile(delay_ms, 50)),
                "p99_ms": float(np.percentile(delay_ms, 99)),
            }
    return row


def longest_run(marked: npt.NDArray[np.bool_]) -> int:
    """The most packets in a row that are marked."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def main() -> None:
    """Entry point: the plan is plan.json in the job's folder."""
    plan = json.loads((FOLDER / "plan.json").read_bytes())
    try:
        for asked in plan["cells"]:
            for where in ("kernel", "relay"):
                print(json.dumps(measure(Cell(**asked), where, plan["length_s"])), flush=True)
    except (OSError, RuntimeError, UserError, ValueError):  # the host reads what is said here
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    finally:
        os.sync()
        ctypes.CDLL(None).reboot(ctypes.c_int(_RB_POWER_OFF))


if __name__ == "__main__":
    main()
