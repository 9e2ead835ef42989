"""Holds live sessions against the simulator: the same chunks at the same times under each network
model, and whole sessions under the same rule.

    python -m experiments.abr.live RUN [RUN...] [--payload SHARE]

RUN: folders of `tbtest run --flow dash`. The first table has the ratio of the live download time to
the model's, over all chunks but the first; the second one QoE, live and simulated. SHARE multiplies
the trace's rates: of an IP packet of 1500 bytes on an emulated link 1448 are payload.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.metrics.dash import dash_metrics
from analysis.run import Cell, Flow, load_run
from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, Floats, Traces, pack
from policy.tasks.abr.evaluate import make_policy
from policy.tasks.abr.network import INITIAL_WINDOW_BYTES, Model, advance, fetch
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.session import start
from testbed.traffic.abr import DASH_JS, asked_of_server
from testbed.traffic.dash.options import DashOptions

PAYLOAD_SHARE = 1448 / 1500
_STEP_NS = 100_000_000
_BEYOND_NS = 60_000_000_000  # a simulated session may take longer than the live one


@dataclass(frozen=True)
class LiveSession:
    """A session as it was played, and the capacity it met."""

    cell: Cell
    flow: Flow
    options: DashOptions
    chunks: pd.DataFrame
    traces: Traces

    @property
    def rtt_ms(self) -> float:
        """Propagation there and back."""
        return self.flow.base_rtt_ns / 1e6


def sessions_of(folder: Path) -> Iterator[LiveSession]:
    """The sessions of a run that got beyond the second chunk, except those whose levels the
    browser's own rules chose.
    """
    for cell in load_run(folder).cells:
        for flow in cell.measured:
            chunks = cell.log("chunks")
            own = chunks[chunks["flow"] == flow.flow].sort_values("chunk")
            trace = cell.bottleneck_trace(flow)
            options = DashOptions.model_validate(flow.options)
            if options.abr == DASH_JS or len(own) < 3 or trace is None:
                continue
            ends = np.arange(1, (flow.duration_ns + _BEYOND_NS) // _STEP_NS + 1) * _STEP_NS
            carried = trace.capacity_bytes(ends - _STEP_NS, ends)
            rates: Floats = np.asarray(carried * 8e3 / _STEP_NS, np.float64)
            times: Floats = np.concatenate([[0.0], ends / 1e9])
            samples: Floats = np.concatenate([rates[:1], rates])
            yield LiveSession(
                cell, flow, options, own, pack([Bandwidth(trace.name, times, samples)])
            )


def download_ms(live: LiveSession, model: Model, share: float) -> Floats:
    """What a model says of each chunk [n], requested when and at the level it was live."""
    traces, video, chunks = live.traces, live.options.played, live.chunks
    times, rates = traces.times_s, traces.rates_mbps
    window, found = INITIAL_WINDOW_BYTES, []
    request_ms = ((chunks["request_ns"] - live.cell.start_ns) / 1e6).to_numpy()
    last_ms = ((chunks["last_byte_ns"] - live.cell.start_ns) / 1e6).to_numpy()
    for number, level in enumerate(chunks["level"].to_numpy()):
        at, clock_s = advance(times, 0, len(times), 1, 0.0, float(request_ms[number]))
        idle_ms = float(request_ms[number] - last_ms[number - 1]) if number else 0.0
        size = float(video.sizes_bytes[number, level])
        took_ms, _, _, window = fetch(
            int(model), times, rates, 0, len(times), at, clock_s, size, share, live.rtt_ms, window,
            idle_ms,
        )  # fmt: skip
        found.append(took_ms)
    return np.array(found)


def simulated_qoe(live: LiveSession, model: Model, share: float) -> float:
    """QoE of the same rule on the same trace, decided anew, over as many chunks."""
    options = live.options
    sessions = start(
        options.played,
        live.traces,
        model=model,
        qoe=qoe_of(options.played, options.qoe),
        rtt_ms=live.rtt_ms,
        scale=share,
        start_level=options.start_level,
        buffer_cap_ms=options.buffer_cap_s * 1000,
    )
    rule, rewards = make_policy(asked_of_server(options.abr) or options.abr), []
    rule.begin(sessions)
    while sessions.chunk < len(live.chunks):
        rewards.append(float(sessions.step(rule.decide(sessions)).reward[0]))
    return float(np.mean(rewards))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--payload", type=float, default=PAYLOAD_SHARE)
    arguments = parser.parse_args()
    lives = [live for folder in arguments.runs for live in sessions_of(folder)]
    if not lives:
        raise PolicyError("no session of three chunks or more that a rule or a policy chose")
    print(f"live / model, payload share {arguments.payload:.4f}")
    print("controller  model      n  median    p5   p95  |difference| median, ms")
    for controller in sorted({live.cell.record.cc for live in lives}):
        for model in Model:
            ratios, differences = [], []
            for live in lives:
                if live.cell.record.cc != controller:
                    continue
                took = live.chunks["last_byte_ns"] - live.chunks["request_ns"]
                took_ms = (took / 1e6).to_numpy()[1:]
                said_ms = download_ms(live, model, arguments.payload)[1:]
                ratios.append(took_ms / said_ms)
                differences.append(np.abs(took_ms - said_ms))
            ratio, difference = np.concatenate(ratios), np.concatenate(differences)
            low, middle, high = np.percentile(ratio, [5, 50, 95])
            print(
                f"{controller:11} {model.name.lower():9} {len(ratio):3}  {middle:6.3f}{low:6.3f}"
                f"{high:6.3f}  {np.median(difference):6.0f}"
            )
    print("\ntrace                     controller  rule         live QoE  pensieve  session  tcp")
    for live in lives:
        sessions = live.cell.log("sessions")
        metrics = dash_metrics(live.chunks, sessions, live.flow)
        assert metrics is not None
        assert metrics.qoe is not None
        simulated = [simulated_qoe(live, model, arguments.payload) for model in Model]
        print(
            f"{live.traces.names[0]:25} {live.cell.record.cc:11} {live.options.abr:12} "
            f"{metrics.qoe:8.3f}  " + "  ".join(f"{qoe:7.3f}" for qoe in simulated)
        )


if __name__ == "__main__":
    main()
