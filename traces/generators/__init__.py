"""Seeded trace generators, one file each, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from settings import first_mistake
from traces.errors import TraceError
from traces.forms import MAX_TIME_NS, NS_PER_S
from traces.generators.base import Generator, Parameters
from traces.generators.cellular import Cellular, LteParameters, MmWaveParameters
from traces.generators.constant import Constant, ConstantParameters
from traces.generators.outages import OutageParameters, Outages
from traces.generators.satellite import Satellite, SatelliteParameters
from traces.generators.steps import RateSteps, StepsParameters
from traces.generators.wifi import Wifi, WifiParameters
from traces.model import Trace

_ENTRIES: tuple[tuple[Generator[Any], type[Parameters]], ...] = (
    (Constant(), ConstantParameters),
    (RateSteps(), StepsParameters),
    (Outages(), OutageParameters),
    (Cellular("lte", "lte", "LTE-like, fitted to recordings"), LteParameters),
    (Cellular("5g-mmwave", "5g-mmwave", "5G-mmWave-like, fitted to recordings"), MmWaveParameters),
    (Wifi(), WifiParameters),
    (Satellite(), SatelliteParameters),
)
GENERATORS: Mapping[str, tuple[Generator[Any], type[Parameters]]] = {
    entry[0].name: entry for entry in _ENTRIES
}


def generate(
    generator: str,
    seed: int,
    duration_s: float,
    parameters: Mapping[str, object] | None = None,
    name: str | None = None,
) -> Trace:
    """A repeating trace; the same arguments give the same trace. Raises TraceError that names the
    parameter.
    """
    if generator not in GENERATORS:
        raise TraceError(f"no trace generator {generator!r}; there are {', '.join(GENERATORS)}")
    if not 0.001 <= duration_s <= MAX_TIME_NS / NS_PER_S:
        raise TraceError(
            f"a duration of {duration_s:g} s is out of range; give 0.001 s to 100 days"
        )
    if seed < 0:
        raise TraceError(f"the seed is {seed}; give a whole number of 0 or more")
    made, model = GENERATORS[generator]
    try:
        checked = model(**(parameters or {}))
    except ValidationError as error:
        mistake = first_mistake(error, model, what="parameter")
        raise TraceError(f"generator {generator}: {mistake}") from None
    rng = np.random.Generator(np.random.PCG64(seed))
    trace = made.generate(checked, round(duration_s * NS_PER_S), rng)
    return replace(trace, name=name or f"{generator}-{seed}")


__all__ = ["GENERATORS", "Generator", "Parameters", "generate"]
