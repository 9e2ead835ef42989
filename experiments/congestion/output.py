"""What every experiment leaves in its folder: results.json, a Markdown table and a figure."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = Sequence[object]


def about(device: str) -> dict[str, Any]:
    """Where and with what an experiment ran. device: as `resolved_device` gives it."""
    import torch

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def resolved_device(device: str) -> str:
    """`auto` settled."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def save_json(path: Path, results: Any) -> None:
    """Write results whole or not at all; numbers that are not finite become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_finite(results), indent=1) + "\n")
    part.rename(path)


def save_results(out: Path, results: Any, table: str) -> None:
    """Write results.json and what is read of it, table.md."""
    save_json(out / "results.json", results)
    (out / "table.md").write_text(table, encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown(headings: Sequence[str], rows: Sequence[Row]) -> str:
    """A Markdown table, the first column left, the others right-aligned."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def number(value: float | None, digits: int = 1) -> str:
    """A figure for a table; – where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def new_figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A matplotlib figure and its axes [rows][columns], to be closed with `save_figure`."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"font.size": 9, "legend.fontsize": 8, "axes.grid": True, "grid.alpha": 0.3}
    mpl.rcParams |= {"svg.hashsalt": "tbtest", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    return plt.subplots(
        rows, columns, figsize=(4.2 * columns, 3.4 * rows), squeeze=False, layout="constrained"
    )


def save_figure(figure: Any, path: Path) -> None:
    """Write and close a figure, without a date so that the same results give the same file."""
    import matplotlib.pyplot as plt

    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
