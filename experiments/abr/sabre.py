"""Compares the throughput rule, BOLA and dynamic with Sabre's, chunk by chunk.

    python -m experiments.abr.sabre SABRE.py --traces DIR --video FILE

SABRE.py is `src/sabre.py` of github.com/UMass-LIDS/sabre. It is run once a trace and rule, without
abandonment and replacement, with a buffer of 60 s and a round trip of 80 ms, against the `session`
model. Prints one line a rule, and exits with 1 if a level differs, or a total by more than what
Sabre prints.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.tasks.abr.bandwidth import Bandwidth, find_bandwidths, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video, read_video

RULES = {"throughput": "rate", "bola": "bola", "dynamic": "dynamic"}
RTT_MS = 80.0
BUFFER_S = 60.0
# Sabre prints totals in seconds with six decimals.
TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Result:
    """The level of every chunk, and the totals of a session; start-up is no stall."""

    levels: tuple[int, ...]
    stall_s: float
    play_s: float


def sabre(script: Path, rule: str, video: Video, trace: Bandwidth, folder: Path) -> Result:
    """What Sabre does on one trace."""
    steps_ms = np.diff(np.concatenate([[0.0], trace.times_s[1:]])) * 1000
    periods = [
        {"duration_ms": step, "bandwidth_kbps": rate * 1000, "latency_ms": RTT_MS}
        for step, rate in zip(steps_ms, trace.rates_mbps[1:], strict=True)
    ]
    movie = {
        "segment_duration_ms": video.chunk_ms,
        "bitrates_kbps": video.bitrates_kbps.tolist(),
        "segment_sizes_bits": (video.sizes_bytes * 8).tolist(),
    }
    (folder / "network.json").write_text(json.dumps(periods))
    (folder / "movie.json").write_text(json.dumps(movie))
    command = [sys.executable, str(script), "-n", "network.json", "-m", "movie.json", "-a", rule]
    command += ["-noa", "-r", "none", "-b", str(BUFFER_S), "-v"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    levels = re.findall(r"^\[\d+-\d+\] +\d+: q=(\d+) ", ran.stdout, re.MULTILINE)
    totals = dict(re.findall(r"^(total \w+(?: \w+)?): ([\d.]+)$", ran.stdout, re.MULTILINE))
    return Result(
        tuple(map(int, levels)), float(totals["total rebuffer"]), float(totals["total play time"])
    )


def ours(rule: str, video: Video, trace: Bandwidth) -> Result:
    """What the rule does on one trace that begins at 0."""
    sessions = start(
        video,
        pack([trace]),
        model=Model.SESSION,
        rtt_ms=RTT_MS,
        start_level=0,
        buffer_cap_ms=BUFFER_S * 1000,
    )
    startup_s = float(sessions.state.download_ms[0, -1]) / 1000
    policy, levels, stall_s = make_rule(RULES[rule]), [0], 0.0
    policy.begin(sessions)
    while not sessions.done:
        chosen = policy.decide(sessions)
        levels.append(int(chosen[0]))
        stall_s += float(sessions.step(chosen).stall_ms[0]) / 1000
    play_s = startup_s + stall_s + video.chunks * video.chunk_ms / 1000
    return Result(tuple(levels), stall_s, play_s)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare rules with Sabre's.")
    parser.add_argument("sabre", type=Path)
    parser.add_argument("--traces", required=True)
    parser.add_argument("--video", required=True)
    args = parser.parse_args()
    video = read_video(args.video)
    traces = [
        # Sabre's clock begins at 0.
        Bandwidth(one.name, one.times_s - one.times_s[0], one.rates_mbps)
        for one in find_bandwidths(args.traces)
    ]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for rule in RULES:
            chunks, levels, greatest_s = 0, 0, 0.0
            for trace in traces:
                theirs = sabre(args.sabre.resolve(), rule, video, trace, Path(folder))
                own = ours(rule, video, trace)
                chunks += len(own.levels)
                levels += sum(a != b for a, b in zip(own.levels, theirs.levels, strict=True))
                difference = max(abs(own.stall_s - theirs.stall_s), abs(own.play_s - theirs.play_s))
                greatest_s = max(greatest_s, difference)
            wrong += levels + (greatest_s > TOLERANCE_S)
            print(
                f"{rule}: {len(traces)} traces, {chunks} chunks, {levels} levels differ; "
                f"greatest difference of totals {greatest_s:.1e} s",
                flush=True,
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
