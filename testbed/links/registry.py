"""Link backends by name."""

from __future__ import annotations

from collections.abc import Callable

from testbed.errors import UserError
from testbed.links.base import LinkBackend

_factories: dict[str, Callable[[], LinkBackend]] = {}


def register(name: str, factory: Callable[[], LinkBackend]) -> None:
    """Makes a backend known to `backend()` and `--link-backend`."""
    _factories[name] = factory


def backend_names() -> list[str]:
    """Registered backends, in the order in which "auto" tries them."""
    return list(_factories)


def backend(name: str, *, check: bool = True) -> LinkBackend:
    """The backend of that name, or the first available one for "auto".

    Without ``check`` whether it can run here is not asked, as a user who is not root cannot run
    any. Raises UserError if there is none.
    """
    if name != "auto" and name not in _factories:
        raise UserError(f"link backend: unknown '{name}'; known: auto, {', '.join(_factories)}")
    reasons = []
    for candidate in _factories if name == "auto" else [name]:
        found = _factories[candidate]()
        reason = found.unavailable() if check else None
        if reason is None:
            return found
        reasons.append(f"{candidate}: {reason}")
    raise UserError(f"no link backend can run here. {' '.join(reasons)}")
