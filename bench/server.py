"""Plays many agents with thousands of synthetic flows against a policy server, and says how fast it
answers.

    python -m bench.server                                    # light tier alone: 1000, 4000 and
    10,000 flows python -m bench.server --policy apc --difficult llm --poor 0.2 --flows 100,1000
    python -m bench.server --server unix:/run/policy.sock     # a server that runs already

Without --server one is started, bound to the first CPU (`--cpus`); the load comes from the others.
Latency is taken at the agent, from sending the StateBatch that closed the window to having parsed
its decision.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.cpu import children
from bench.server_load import Result, measure
from policy.registry import MODELS


@click.command(help=__doc__)
@click.option("--flows", default="1000,4000,10000", help="Load levels: flows, all agents together.")
@click.option("--agents", default=8, help="Streams that share the flows.")
@click.option("--acks", default=5, help="ACK records per flow and window.")
@click.option("--poor", default=0.0, help="Share of flows with loss and a standing queue.")
@click.option("--policy", default="gcc", help="What the agents ask for: apc or a tier.")
@click.option("--difficult", default=None, help="Policy for difficult flows under apc, e.g. llm.")
@click.option("--deadline", "deadline_ms", default=100.0, help="Deadline of an answer, ms.")
@click.option("--duration", "duration_s", default=10.0, help="Measured time per level, seconds.")
@click.option("--device", default="auto", help="Where the model runs.")
@click.option(
    "--cpus",
    default=1,
    show_default=True,
    help="CPUs of the server and its models; the load has the others.",
)
@click.option(
    "--max-batch", default=256, show_default=True, help="Flows in one call of the model's engine."
)
@click.option("--server", "address", default=None, help="Address of a running server.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the results here too."
)
def main(
    flows: str,
    agents: int,
    acks: int,
    poor: float,
    policy: str,
    difficult: str | None,
    deadline_ms: float,
    duration_s: float,
    device: str,
    cpus: int,
    max_batch: int,
    address: str | None,
    json_path: Path | None,
) -> None:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        server = (
            None if address else start(Path(folder), policy, difficult, device, cpus, max_batch)
        )
        target = address or f"unix:{folder}/policy.sock"
        try:
            for level in flows.split(","):
                pid = server.pid if server else None
                results.append(
                    asyncio.run(
                        measure(
                            target,
                            int(level),
                            agents,
                            acks,
                            poor,
                            policy,
                            deadline_ms,
                            duration_s,
                            pid,
                        )
                    )
                )
        finally:
            if server is not None:
                server.terminate()
                server.wait()
    show(results)
    if json_path:
        json_path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def start(
    folder: Path, policy: str, difficult: str | None, device: str, cpus: int, max_batch: int
) -> subprocess.Popen[str]:
    """A server of our own on the first CPUs; the load generator keeps to the others."""
    tiers = [policy] if policy in MODELS else []
    settings = {
        "listen": f"unix:{folder}/policy.sock",
        "difficult": difficult,
        "tiers": tiers,
        "device": device,
        "admission": {"max_batch": max_batch},
    }
    config = folder / "server.yaml"
    config.write_text(json.dumps(settings | {"log": "warning"}))
    server = subprocess.Popen(
        [sys.executable, "-m", "policy", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    if not server.stdout.readline().startswith("ready "):
        raise SystemExit("the server did not start")
    every = sorted(os.sched_getaffinity(0))
    if len(every) > cpus:
        for pid in (server.pid, *children(server.pid)):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), every[:cpus])
        os.sched_setaffinity(0, every[cpus:])
    return server


def show(results: list[Result]) -> None:
    """Print the results as a table."""
    table = Table(title="Policy server: decisions at 10 per second and flow")
    for heading in (
        "flows",
        "agents",
        "decisions/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "late",
        "unanswered",
        "model p50 / p99 ms",
        "tiers",
        "server CPU",
        "workers' CPU",
        "generator behind ms",
    ):
        table.add_column(heading, justify="right")
    for r in results:
        total = max(sum(r.by_tier.values()), 1)
        tiers = " ".join(f"{tier} {count / total:.0%}" for tier, count in sorted(r.by_tier.items()))
        model = "–" if np.isnan(r.model_p50_ms) else f"{r.model_p50_ms:.1f} / {r.model_p99_ms:.1f}"
        table.add_row(
            f"{r.flows:,}",
            str(r.agents),
            f"{r.decisions_per_s:,.0f}",
            f"{r.p50_ms:.2f}",
            f"{r.p95_ms:.2f}",
            f"{r.p99_ms:.2f}",
            f"{r.max_ms:.1f}",
            f"{r.missed}",
            f"{r.unanswered}",
            model,
            tiers,
            f"{r.server_cpu:.0%}",
            f"{r.workers_cpu:.0%}",
            f"{r.generator_behind_ms:.1f}",
        )
    Console(width=160 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    main()
