"""The traces that come with the package. All are generated: index.json says by what, and
`regenerate` does it again.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from traces.generators import generate
from traces.model import Trace

FOLDER = Path(__file__).parent


class BundledTrace(BaseModel):
    """One entry of index.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: str
    description: str
    generator: str
    seed: int
    duration_s: float
    parameters: dict[str, Any]

    @property
    def path(self) -> Path:
        return FOLDER / self.file

    def regenerate(self) -> Trace:
        """The trace, from its generator, seed and parameters."""
        return generate(self.generator, self.seed, self.duration_s, self.parameters, self.name)


@cache
def index() -> dict[str, BundledTrace]:
    """The bundled traces by name, in the order of index.json."""
    entries = json.loads((FOLDER / "index.json").read_text())
    return {entry["name"]: BundledTrace(**entry) for entry in entries}
