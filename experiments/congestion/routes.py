"""How much of its link a flow uses while its route is longer, or while its ACKs come in bursts.

A bulk flow and a video on 8 Mbit/s in the simulator, buffer 4 BDP of 20 ms. From 4 to 12 s the RTT
is another one, for all of the time or in turn; or the path holds ACKs back and delivers those of so
many milliseconds together.

    python -m experiments.congestion.routes persistence mlp bbr cubic
"""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.closed_loop import controller
from experiments.congestion.output import markdown
from policy.model.info import resolve
from policy.model.policy import KINDS
from policy.tasks.congestion.simulator import Links, Outcome, Video, simulate

Ints = NDArray[np.int64]
CAPACITY_BPS = 8e6
FROM_MS, TO_MS, END_MS = 4000, 12_000, 16_000


def courses() -> dict[str, Ints]:
    """RTT of every step [ms] by name."""
    step = np.arange(END_MS)
    failing = (step >= FROM_MS) & (step < TO_MS)
    return {
        "20 to 60 ms": np.where(failing, 60, 20),
        "20 to 100 ms": np.where(failing, 100, 20),
        "20 to 200 ms": np.where(failing, 200, 20),
        "60 to 120 ms": np.where(failing, 120, 60),
        "20 and 200 ms, 0.5 s each": np.where(failing & (step // 500 % 2 == 0), 200, 20),
        "20 and 200 ms, 1 s each": np.where(failing & (step // 1000 % 2 == 0), 200, 20),
        "ACKs of 50 ms together": np.where(failing, 20 + step % 50, 20),
        "ACKs of 150 ms together": np.where(failing, 20 + step % 150, 20),
    }


def driven(name: str, rtt_ms: Sequence[Ints], video: bool) -> Outcome:
    """Under a policy or a kernel's controller, a flow on each link."""
    flows = len(rtt_ms)
    links = Links(
        np.full((END_MS, flows), CAPACITY_BPS),
        np.stack(rtt_ms, axis=1),
        np.full(flows, 4 * CAPACITY_BPS * 0.02 / 8),
    )
    checkpoint = resolve(name) if name in KINDS else None
    driver = controller(name, checkpoint, "cpu", flows)
    return simulate(links, driver, source=Video(flows, END_MS) if video else None)


def used(outcome: Outcome, from_ms: int, to_ms: int) -> NDArray[np.float64]:
    """Share of the capacity that each flow used."""
    offered_bytes = CAPACITY_BPS * (to_ms - from_ms) / 8e3
    share: NDArray[np.float64] = outcome.delivered_bytes[from_ms:to_ms].sum(axis=0) / offered_bytes
    return share


@click.command(help=__doc__)
@click.argument("names", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    found = courses()
    rows = [[name] for name in found]
    headings = ["RTT from 4 to 12 s"]
    for name in names:
        for kind in ("bulk", "video"):
            headings.append(f"{name}, {kind}")
            outcome = driven(name, list(found.values()), kind == "video")
            for row, share in zip(rows, used(outcome, FROM_MS, TO_MS).tolist(), strict=True):
                row.append(f"{share:.2f}")
    click.echo(markdown(headings, rows))


if __name__ == "__main__":
    main()
