"""Answers of the server, as columns."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Answers:
    """n decisions that arrived together. tier: who made each of them; times are durations spent at
    the server.
    """

    received_ns: int
    slot: npt.NDArray[np.int64]
    generation: npt.NDArray[np.int64]
    window: npt.NDArray[np.int64]
    pacing_rate_bps: npt.NDArray[np.float64]
    cwnd_packets: npt.NDArray[np.float64]
    queue_ns: npt.NDArray[np.int64]
    compute_ns: npt.NDArray[np.int64]
    tier: npt.NDArray[np.str_]
    reasons: npt.NDArray[np.uint8]  # why APC held the flow difficult: bits of policy.proto

    def __len__(self) -> int:
        return len(self.slot)

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Answers":
        """The chosen ones."""
        if chosen.all():
            return self
        columns = (getattr(self, field.name)[chosen] for field in fields(self)[1:])
        return Answers(self.received_ns, *columns)

    def valid(self, slots: int) -> npt.NDArray[np.bool_]:
        """Which of them can be carried out at all: a slot that exists, finite and positive
        values.
        """
        rate, cwnd = self.pacing_rate_bps, self.cwnd_packets
        usable = np.isfinite(rate) & np.isfinite(cwnd) & (rate > 0) & (cwnd > 0)
        return (
            usable
            & (self.slot >= 0)
            & (self.slot < slots)
            & (self.generation > 0)
            & (self.window >= 0)
        )
