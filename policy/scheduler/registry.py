"""The schedulers by name, and the user's own by `path/to/file.py:Class`."""

from __future__ import annotations

from plugins import absolute, is_reference
from policy.errors import PolicyError
from policy.scheduler.base import Scheduler, SchedulerContext
from policy.scheduler.guest import GuestScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig

RULES, ADAPTIVE, LEARNED = "rules", "adaptive", "learned"
NAMES = (RULES, ADAPTIVE, LEARNED)


def full_name(name: str) -> str:
    """The name, a file's path made absolute. Raises PolicyError if there is none of this name."""
    if is_reference(name):
        return absolute(name)
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise PolicyError(f"no scheduler {name!r}; known: {known}; or path/to/file.py:Class")
    return name


def create(
    name: str, flows: int, thresholds: ApcConfig, adaptive: AdaptiveConfig | None = None
) -> Scheduler:
    """Build a scheduler. Raises PolicyError if a user's own cannot be built; runs its file."""
    # Late: their compiled loops take long to load.
    from policy.scheduler.adaptive import AdaptiveScheduler
    from policy.scheduler.rules import RuleScheduler

    if name == LEARNED:
        from policy.scheduler.learned import LearnedScheduler

        return LearnedScheduler(flows, thresholds, adaptive or AdaptiveConfig())
    if name == ADAPTIVE:
        return AdaptiveScheduler(flows, thresholds, adaptive or AdaptiveConfig())
    rules = RuleScheduler(flows, thresholds)
    if is_reference(name):
        return GuestScheduler(name, SchedulerContext(flows), rules)
    full_name(name)
    return rules
