"""The optimum in hindsight of every test set on every video, on a few traces of each.

    python -m experiments.abr.optima DATA OUT.json --most 40 --jobs 4 --minutes 15

DATA is that of `judge`. OUT.json holds one object a session: set, video, index and name of the
trace, and the QoE that was reached, with its bound from above. The first trace of every cell comes
before the second of any, so that what is there when the time ends is spread over all cells.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from experiments.abr.cells import CHUNKS, SETS, TOLERANCE, VIDEOS
from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Traces, find_bandwidths, pack
from policy.tasks.abr.optimum import optimum
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video, read_video


@cache
def traces_of(data: Path, test_set: str) -> Traces:
    return pack(find_bandwidths(str(data / "test" / test_set)))


@cache
def video_of(data: Path, name: str) -> Video:
    return read_video(data / "videos" / f"{name}.json").clipped(CHUNKS)


def spread(traces: int, most: int) -> list[int]:
    """Indices of `most` traces, evenly over the set; of all if there are no more."""
    return sorted({int(i) for i in np.linspace(0, traces - 1, min(most, traces))})


def one(job: tuple[Path, str, str, int]) -> dict[str, object] | None:
    """The optimum of one session; None where the search needs too many labels."""
    data, test_set, video_name, index = job
    traces, video = traces_of(data, test_set), video_of(data, video_name)
    tolerance = TOLERANCE * float(video.bitrates_kbps[-1]) / 1000
    try:
        found = optimum(start(video, traces, trace=[index]), tolerance)
    except PolicyError:
        return None
    return {
        "set": test_set,
        "video": video_name,
        "index": index,
        "trace": traces.names[index],
        "reached": round(float(found.reached[0]), 6),
        "bound": round(float(found.bound[0]), 6),
    }


def jobs(data: Path, most: int) -> Iterator[tuple[Path, str, str, int]]:
    chosen = {name: spread(len(traces_of(data, name)), most) for name in SETS}
    for at in range(most):
        for test_set, video in itertools.product(SETS, VIDEOS):
            if at < len(chosen[test_set]):
                # Not in their order, so that the first few are spread over the set, too.
                order = np.random.default_rng(7).permutation(len(chosen[test_set]))
                yield data, test_set, video, chosen[test_set][int(order[at])]


def main() -> None:
    parser = argparse.ArgumentParser(description="Search the optimum on a few traces of each set.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most", type=int, default=40, help="traces of each set")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=15.0)
    args = parser.parse_args()
    os.nice(10)
    end = time.monotonic() + args.minutes * 60
    rows: list[dict[str, object]] = []
    waiting = jobs(args.data, args.most)
    with ProcessPoolExecutor(args.jobs) as pool:
        while time.monotonic() < end and (some := list(itertools.islice(waiting, 4 * args.jobs))):
            rows += [row for row in pool.map(one, some) if row is not None]
            beside = args.out.with_name(args.out.name + ".new")
            beside.write_text(json.dumps(rows))
            beside.replace(args.out)
    print(f"{args.out}: {len(rows)} sessions")


if __name__ == "__main__":
    main()
