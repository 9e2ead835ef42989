"""Adaptive policy collaboration under load, and its thresholds.

Two experiments, written to results.json, table.md and two figures:

load: the share of difficult flows times the number of flows (10 decisions per second each) against
latency, deadline misses and the LLM's share, with a policy server process and its engine; with
admission (`apc`) and without (each difficult flow asks the LLM alone, each easy one the light tier
alone).

thresholds: all thresholds of `policy.scheduler.rules` times a factor, and never and always the LLM:
video quality in the closed loop of `policy.tasks.congestion.simulator`, against the latency of the
last answer of a server under as large a share of difficult flows.

\b
    python -m experiments.congestion.apc --out apc                              # on this machine's
    best device python -m experiments.congestion.apc --out apc --flows 20,100 --shares 20,80 --model
    random --layers 2   # small python -m experiments.congestion.apc --out apc --redraw
    # tables and figures from results.json
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from bench.cpu import cpu_s
from experiments.congestion import load, thresholds
from experiments.congestion.output import (
    about,
    markdown,
    new_figure,
    number,
    resolved_device,
    save_figure,
    save_results,
)
from experiments.congestion.served import Served, policy_server, random_checkpoint

console = Console(stderr=True, soft_wrap=True)


def summary(level: load.Level, answers: load.Answers, server_cpu: float) -> dict[str, Any]:
    """One level's figures. Times in ms; first: until any tier answered, windows never answered
    counting as inf.
    """
    first = np.minimum(answers.light_ms, answers.model_ms)
    by_model = np.isfinite(answers.model_ms)
    last = np.where(by_model, answers.model_ms, answers.light_ms)
    in_time = answers.model_ms <= level.deadline_ms
    hard = answers.difficult
    figures: dict[str, Any] = {
        "flows": level.flows,
        "difficult": level.difficult,
        "admission": level.admission,
        "windows": len(first),
        "missed": float(np.mean(first > level.deadline_ms)),
        "unanswered": float(np.mean(np.isinf(first))),
        "llm_share": float(np.mean(in_time)),
        "llm_share_of_difficult": float(np.mean(in_time[hard])) if hard.any() else None,
        "llm_late": float(np.mean(~in_time[by_model])) if by_model.any() else None,
        "server_cpu": server_cpu,
        "generator_late_ms": answers.late_ms,
    }
    light, model = answers.light_ms[np.isfinite(answers.light_ms)], answers.model_ms[by_model]
    timed = {
        "first": first,
        "light": light,
        "llm": model,
        "last": last,
        "light_server": answers.light_server_ms[np.isfinite(answers.light_ms)],
        "llm_server": answers.model_server_ms[by_model],
    }
    for name, values in timed.items():
        for q in (50, 99):
            figures[f"{name}_p{q}_ms"] = _percentile(values, q)
    return figures


def _percentile(values: load.Floats, q: float) -> float | None:
    """None where there are no values, or where that many never came."""
    value = float(np.percentile(values, q, method="higher")) if len(values) else math.inf
    return value if math.isfinite(value) else None


def measure(server: Served, level: load.Level, generators: load.Generators) -> dict[str, Any]:
    """Put one level on the server and sum it up."""
    before_s = cpu_s(server.pid)
    answers = generators.put(server.address, level)
    seconds = load.WARM_UP_S + level.duration_s + load.GRACE_S
    row = summary(level, answers, (cpu_s(server.pid) - before_s) / seconds)
    console.print(
        f"{level.flows} flows, {level.difficult:.0%} difficult, "
        f"{'apc' if level.admission else 'no admission'}: "
        f"first p99 {number(row['first_p99_ms'])} ms, llm p99 {number(row['llm_p99_ms'])} ms, "
        f"missed {row['missed']:.1%}, llm {row['llm_share']:.1%}"
    )
    return row


def tables(results: dict[str, Any]) -> str:
    """results.json as Markdown."""
    text = (
        f"Measured on {results['about']['device']}, {results['about']['cpus']} CPUs. Times in ms.\n"
    )
    if results.get("load"):
        headings = (
            "flows",
            "difficult",
            "scheme",
            "first p50",
            "first p99",
            "light p99",
            "LLM p50",
            "LLM p99",
            "light p99 in the server",
            "LLM p99 in the server",
            "missed %",
            "LLM %",
            "LLM % of difficult",
            "server CPU %",
            "generator late ms",
        )
        rows = [
            (
                f"{r['flows']:,}",
                f"{r['difficult']:.0%}",
                "APC" if r["admission"] else "no admission",
                *(
                    "never" if r[key] is None else number(r[key])
                    for key in ("first_p50_ms", "first_p99_ms")
                ),
                *(
                    number(r[f"{key}_ms"])
                    for key in (
                        "light_p99",
                        "llm_p50",
                        "llm_p99",
                        "light_server_p99",
                        "llm_server_p99",
                    )
                ),
                number(100 * r["missed"], 2),
                number(100 * r["llm_share"]),
                "–"
                if r["llm_share_of_difficult"] is None
                else number(100 * r["llm_share_of_difficult"]),
                number(100 * r["server_cpu"], 0),
                number(r["generator_late_ms"]),
            )
            for r in results["load"]
        ]
        text += "\n## Load\n\n" + markdown(headings, rows)
    if results.get("thresholds"):
        text += "\n## Thresholds\n\n" + thresholds.table(results["thresholds"])
    return text


def draw_load(rows: list[dict[str, Any]], path: Path) -> None:
    """p99 of first and LLM answers, misses and the LLM's share against the number of flows."""
    panels = (
        ("first_p99_ms", "first answer, p99, ms", 1.0),
        ("llm_p99_ms", "LLM answer, p99, ms", 1.0),
        ("missed", "windows missed, %", 100.0),
        ("llm_share_of_difficult", "difficult windows: LLM in time, %", 100.0),
    )
    figure, axes = new_figure(4)
    for axis, (key, title, scale) in zip(axes[0], panels, strict=True):
        for number_of_share, share in enumerate(sorted({r["difficult"] for r in rows})):
            for admission, style in ((True, "-"), (False, "--")):
                line = [r for r in rows if r["difficult"] == share and r["admission"] == admission]
                values = [np.nan if r[key] is None else scale * r[key] for r in line]
                if line and not np.isnan(values).all():
                    axis.plot(
                        [r["flows"] for r in line],
                        values,
                        style,
                        color=f"C{number_of_share}",
                        marker=".",
                        label=f"{share:.0%} difficult" if admission else None,
                    )
        axis.set_xscale("log")
        axis.set_title(title)
        axis.set_xlabel("flows; solid: APC, dashed: no admission")
        if key.endswith("_ms"):
            axis.set_yscale("log")
            axis.axhline(100, color="black", linewidth=0.8)
    axes[0][0].legend()
    save_figure(figure, path)


def write(out: Path, results: dict[str, Any]) -> None:
    """Everything that is written; called after each step, so that an interrupted run leaves what it
    has.
    """
    save_results(out, results, tables(results))


def draw(out: Path, results: dict[str, Any]) -> None:
    """The figures."""
    if results.get("load"):
        draw_load(results["load"], out / "load.svg")
    if results.get("thresholds"):
        thresholds.draw(results["thresholds"], out / "thresholds.svg")


def _list(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


@click.command(help=__doc__)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--parts", default="load,thresholds", show_default=True)
@click.option(
    "--flows", default=None, help="Load levels; default 100 to 10,000 on CUDA, 5 to 100 on a CPU."
)
@click.option(
    "--shares", default="0,20,50,80,100", show_default=True, help="Difficult flows, per cent."
)
@click.option(
    "--duration", "duration_s", default=3.0, show_default=True, help="Measured seconds per level."
)
@click.option(
    "--model", default="llm", show_default=True, help="Checkpoint of the llm tier, or `random`."
)
@click.option("--layers", default=30, show_default=True, help="Blocks of the random model.")
@click.option("--device", default="auto", show_default=True)
@click.option("--max-batch", default=256, show_default=True, help="Flows in one engine call.")
@click.option("--deadline", "deadline_ms", default=100.0, show_default=True, help="ms.")
@click.option(
    "--processes",
    type=int,
    default=None,
    help="Load generators; default: a quarter of the CPUs, 4 at most.",
)
@click.option(
    "--sweep-flows",
    type=int,
    default=None,
    help="Flows of the sweep's latency; default: the middle level.",
)
@click.option(
    "--traces",
    "trace_names",
    default=None,
    help="Traces of the sweep, comma-separated names or files.",
)
@click.option("--dataset", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Sweep on the validation traces of this experience dataset.")  # fmt: skip
@click.option("--seconds", default=30, show_default=True, help="Simulated length of each flow.")
@click.option("--redraw", is_flag=True, help="Only tables and figures, from results.json.")
def main(
    out: Path,
    parts: str,
    flows: str | None,
    shares: str,
    duration_s: float,
    model: str,
    layers: int,
    device: str,
    max_batch: int,
    deadline_ms: float,
    processes: int | None,
    sweep_flows: int | None,
    trace_names: str | None,
    dataset: Path | None,
    seconds: int,
    redraw: bool,
) -> None:
    if redraw:
        results = json.loads((out / "results.json").read_text())
        write(out, results)
        draw(out, results)
        return
    device = resolved_device(device)
    levels = _list(
        flows or ("100,500,1000,2000,5000,10000" if device.startswith("cuda") else "5,20,50,100")
    )
    results = {
        "about": about(device) | {"model": model, "max_batch": max_batch},
        "load": [],
        "thresholds": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = (
            str(random_checkpoint(Path(folder) / "model", layers)) if model == "random" else model
        )
        settings = {
            "difficult": "llm",
            "models": {"llm": path},
            "device": device,
            "admission": {"max_batch": max_batch},
        }
        processes = processes or min(max(len(os.sched_getaffinity(0)) // 4, 1), 4)
        with (
            policy_server(Path(folder), settings) as server,
            load.Generators(processes) as generators,
        ):

            def put(count: int, share: float, admission: bool) -> dict[str, Any]:
                level = load.Level(
                    count, share, admission, duration_s=duration_s, deadline_ms=deadline_ms
                )
                return measure(server, level, generators)

            if "load" in parts:
                for share in _list(shares):
                    for count in levels:
                        for admission in (True, False) if share else (True,):
                            results["load"].append(put(count, share / 100, admission))
                            write(out, results)
            if "thresholds" in parts:
                names = thresholds.trace_files(trace_names, dataset)
                console.print(f"closed loop on {len(names)} traces …")
                rows = thresholds.sweep(names, path, device, seconds)
                for row in rows:
                    count = sweep_flows or levels[len(levels) // 2]
                    row["server"] = put(
                        count, row["llm_share"], admission=row["factor"] != "always"
                    )
                    results["thresholds"] = rows
                    write(out, results)
    draw(out, results)
    console.print(f"{out}/table.md")


if __name__ == "__main__":
    main()
