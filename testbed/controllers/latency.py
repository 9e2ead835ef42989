"""How long decisions took where that was measured: what they take in virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MEASURED = Path(__file__).with_name("latency.json")


def measured() -> dict[str, Any]:
    """Tier -> flows decided together -> quantiles, as `agent.config.AgentConfig` has them.

    The file says how and where they were measured; `bench/latency.py` makes it.
    """
    found: dict[str, Any] = json.loads(_MEASURED.read_text(encoding="utf-8"))["latency_ns"]
    return found
