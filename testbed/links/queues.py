"""The bottleneck's queue: five disciplines, with the parameters and defaults that Linux's tc has
for them. docs/reference/links.md says what each does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from testbed.errors import UserError

QueueKind = Literal["droptail", "codel", "fq_codel", "pie", "dualpi2"]
KINDS: tuple[str, ...] = get_args(QueueKind)
MTU_BYTES = 1500

# Parameters of a kind beside its limit, with Linux's defaults. Delays are in ns; of PIE and DualPI2
# alpha and beta are tc's: sixteenths and 256ths of 1/s per update.
DEFAULTS: Mapping[str, Mapping[str, int | bool]] = {
    "droptail": {},
    "codel": {"target_ns": 5_000_000, "interval_ns": 100_000_000, "ecn": False},
    "fq_codel": {
        "target_ns": 5_000_000,
        "interval_ns": 100_000_000,
        "ecn": True,
        "flows": 1024,
        "quantum": MTU_BYTES,
    },
    "pie": {
        "target_ns": 15_000_000,
        "tupdate_ns": 15_000_000,
        "alpha": 2,
        "beta": 20,
        "ecn": False,
    },
    "dualpi2": {
        "target_ns": 15_000_000,
        "tupdate_ns": 16_000_000,
        "alpha": 41,
        "beta": 819,
        "coupling_factor": 2,
        "step_thresh_ns": 1_000_000,
        "classic_protection": 10,
        "ecn": True,
    },
}


@dataclass(frozen=True)
class Queue:
    """`limit_bytes` counts IP packets and includes the one being sent. Each kind uses the
    parameters that DEFAULTS lists for it. `ecn`: mark what can be marked instead of dropping it.
    """

    kind: QueueKind = "droptail"
    limit_bytes: int = 1_000_000
    target_ns: int = 5_000_000
    interval_ns: int = 100_000_000
    tupdate_ns: int = 15_000_000
    alpha: int = 2
    beta: int = 20
    ecn: bool = False
    flows: int = 1024
    quantum: int = MTU_BYTES
    coupling_factor: int = 2
    step_thresh_ns: int = 1_000_000
    classic_protection: int = 10

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"queue: unknown kind '{self.kind}'; known: {', '.join(KINDS)}")
        if self.limit_bytes < MTU_BYTES:
            raise UserError(
                f"queue: limit of {self.limit_bytes} bytes cannot hold one packet; give at least "
                f"{MTU_BYTES}"
            )
        for name in ("target_ns", "interval_ns", "tupdate_ns", "step_thresh_ns"):
            if getattr(self, name) <= 0:
                raise UserError(f"queue: {name.removesuffix('_ns')} must be positive")
        for name, low, high in (
            ("alpha", 0, 1 << 16),
            ("beta", 0, 1 << 16),
            ("flows", 1, 65_536),
            ("quantum", 256, 1 << 20),
            ("coupling_factor", 1, 255),
            ("classic_protection", 0, 100),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"queue: {name} = {getattr(self, name)} is not in {low}..{high}")

    @classmethod
    def of(cls, kind: QueueKind, limit_bytes: int, asked: Mapping[str, Any], ecn: bool) -> Self:
        """A queue with Linux's defaults and what is asked instead. ``ecn``: the hosts' connections
        can be marked, so that every discipline that can marks, unless ``asked`` forbids it.

        Raises UserError for a parameter that the kind does not have.
        """
        defaults = dict(DEFAULTS[kind]) if kind in DEFAULTS else {}
        for name in asked:
            if name not in defaults:
                known = ", ".join(sorted(key.removesuffix("_ns") for key in defaults)) or "none"
                raise UserError(
                    f"queue_options: {kind} has no {name.removesuffix('_ns')}; its options: {known}"
                )
        if ecn and "ecn" in defaults:
            defaults["ecn"] = True
        return cls(kind, limit_bytes, **{**defaults, **asked})

    def parameters(self) -> dict[str, Any]:
        """The parameters that this kind uses, for cell.json."""
        known = {field.name for field in fields(self)} & set(DEFAULTS[self.kind])
        return {name: getattr(self, name) for name in DEFAULTS[self.kind] if name in known}
