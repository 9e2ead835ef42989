"""Families of sources: what a policy may be trained on and judged on elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.tasks.base import Samples

ALL = "all"
FAMILIES = {
    "congestion": ("mobile", "5g", "fixed", ALL),
    "abr": ("3g", "fixed", "wifi", ALL),
    "cjs": ("recorded", "generated", "live", ALL),
}
"""Congestion: 3G and 4G, 5G (lumos5g), fixed lines (fcc-hd). Streaming: 3G in Norway, fixed lines
(FCC), what watched Puffer. Scheduling: recorded queries, generated jobs, both on small clusters.
"""
_CONGESTION = {
    "lumos5g": "5g",
    "fcc-hd": "fixed",
    "ghent-4g": "mobile",
    "norway-3g": "mobile",
    "lte-driving": "mobile",
    "lte-walking": "mobile",
    "mahimahi": "mobile",
}
_CLUSTERS = ("recorded", "generated", "live", "live")
"""Of the sequences in turn, as `tbtest collect --task cjs --generated --live` takes them."""
_VEHICLES = ("bus.", "car.", "ferry.", "metro.", "train.", "tram.")


def of_recording(name: str) -> str:
    """The family of a recording of throughput for streaming."""
    if name.startswith(_VEHICLES):
        return "3g"
    return "fixed" if name.startswith("trace_") else "wifi"


def of_trace(name: str) -> str:
    """The family of a trace of capacity for congestion control, `other` beside the three."""
    found = [family for source, family in _CONGESTION.items() if name.startswith(source)]
    return found[0] if found else "other"


def of_samples(task: str, samples: Samples, folder: Path) -> NDArray[np.str_]:
    """The family of each sample of one split, which lies in `folder`."""
    known: Any = vars(samples)
    if task == "congestion":
        return np.array([of_trace(name) for name in known["families"]], np.str_)
    if task == "cjs":
        sequences = known["_arrays"]["sequence"][known["_rows"]]
        clusters: NDArray[np.str_] = np.array(_CLUSTERS)[sequences % len(_CLUSTERS)]
        return clusters
    # One file for each family and video; sessions-FAMILY-NUMBER.npz.
    names = [file.stem.split("-")[1] for file in sorted(folder.glob("sessions-*.npz"))]
    found: NDArray[np.str_] = np.array(names)[known["_arrays"]["batch"]]
    return found
