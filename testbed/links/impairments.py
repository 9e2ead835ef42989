"""What a link does to packets besides queueing and delaying them: it loses them, holds them back or
polices them.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.errors import UserError


@dataclass(frozen=True)
class Loss:
    """Per-packet loss behind the queue: the Gilbert-Elliott chain; independent loss is its
    one-state case.

    All four are probabilities per packet: of leaving the good and the bad state, and of losing a
    packet in each.
    """

    p_good_bad: float = 0.0
    p_bad_good: float = 1.0
    loss_good: float = 0.0
    loss_bad: float = 1.0

    def __post_init__(self) -> None:
        for name in ("p_good_bad", "p_bad_good", "loss_good", "loss_bad"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise UserError(
                    f"loss: {name} = {value} is no probability; give a fraction between 0 and 1"
                )

    @classmethod
    def random(cls, p: float) -> Loss:
        """Independent loss of every packet with probability `p`."""
        return cls(loss_good=p)

    @property
    def mean(self) -> float:
        """Long-run share of packets lost."""
        moves = self.p_good_bad + self.p_bad_good
        bad = self.p_good_bad / moves if moves else 0.0
        return bad * self.loss_bad + (1 - bad) * self.loss_good


@dataclass(frozen=True)
class Reorder:
    """Packets held back behind the queue: each with a chance, by a time in which others overtake
    it.
    """

    chance: float = 0.0
    delay_ns: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.chance <= 1.0 or self.delay_ns < 0:
            raise UserError(
                f"reorder: a chance of {self.chance} and {self.delay_ns} ns; give a fraction "
                "between 0 and 1 and a time"
            )


@dataclass(frozen=True)
class Policer:
    """A token bucket in front of the queue: a packet that finds too few tokens is dropped. It fills
    at ``rate_bps`` up to ``burst_bytes`` and begins full. Rate 0: none.
    """

    rate_bps: float = 0.0
    burst_bytes: int = 0

    def __post_init__(self) -> None:
        if self.rate_bps < 0 or (self.rate_bps > 0 and self.burst_bytes < 1500):
            raise UserError(
                f"policer: {self.rate_bps:g} bit/s with a burst of {self.burst_bytes} bytes; the "
                "burst must hold a packet of 1500 bytes"
            )
