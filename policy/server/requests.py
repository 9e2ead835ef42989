"""What every single request is held against before it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from policy.errors import PolicyError

P = TypeVar("P")


def check_size(data: bytes, most_bytes: int) -> None:
    """Raises PolicyError for a request that is too large to be read."""
    if len(data) > most_bytes:
        raise PolicyError(f"a request of {len(data)} bytes; {most_bytes} are allowed")


def asked_for(policies: Mapping[str, P], name: str, kind: str) -> tuple[str, P]:
    """Name and policy that a request asks for; without a name the first one. Raises PolicyError
    for one that is not served.
    """
    name = name or next(iter(policies))
    if name not in policies:
        raise PolicyError(f"no {kind} {name!r} is served here; served: {', '.join(policies)}")
    return name, policies[name]
