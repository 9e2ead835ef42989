"""Counts what the model's queue did, and makes a `Load` of it four times a second. Pure."""

from __future__ import annotations

from policy.scheduler.base import Load

INTERVAL_NS = 250_000_000


class LoadGauge:
    """Counts since the last reading."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._candidates = self._admitted = self._late = 0

    def scheduled(self, candidates: int, admitted: int) -> None:
        """So many difficult windows came, and so many of them were admitted."""
        self._candidates += candidates
        self._admitted += admitted

    def late(self, count: int) -> None:
        """So many admitted windows had no answer of the model in time."""
        self._late += count

    def due(self, now_ns: int) -> bool:
        """Whether an interval has passed; the first begins with the first call."""
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns >= INTERVAL_NS

    def read(self, now_ns: int, capacity_per_s: float) -> Load:
        """The interval that ends now; another begins."""
        since = now_ns if self._since_ns is None else self._since_ns
        load = Load(
            now_ns, now_ns - since, self._candidates, self._admitted, self._late, capacity_per_s
        )
        self._since_ns = now_ns
        self._candidates = self._admitted = self._late = 0
        return load
