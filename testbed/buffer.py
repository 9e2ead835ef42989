"""A bottleneck buffer, stated in bytes or as a multiple of the bandwidth-delay product."""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.errors import UserError
from testbed.units import NS_PER_S, format_size, parse_size_bytes

# Room for a few full-size packets: below that the queue, not the controller, decides what gets
# through.
MIN_BUFFER_BYTES = 3 * 1514


@dataclass(frozen=True)
class Buffer:
    """Exactly one of ``bdp`` (a multiple) and ``size_bytes``."""

    bdp: float | None = None
    size_bytes: int | None = None

    @classmethod
    def parse(cls, text: object) -> Buffer:
        """``"2bdp"`` or ``"60kB"``. Raises UserError."""
        if match := re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*bdp\s*", str(text), re.IGNORECASE):
            if not 0 < float(match[1]) <= 1000:
                raise UserError(f"{text!r}: a buffer is between 0 and 1000 bdp")
            return cls(bdp=float(match[1]))
        try:
            size_bytes = parse_size_bytes(text)
        except UserError as error:
            raise UserError(f"{text!r} is not a buffer; write it like 2bdp or 60kB") from error
        if not MIN_BUFFER_BYTES <= size_bytes <= 10**9:
            raise UserError(f"{text!r}: a buffer is between {MIN_BUFFER_BYTES} B and 1 GB")
        return cls(size_bytes=size_bytes)

    def limit_bytes(self, *, rate_bps: float, rtt_ns: int) -> int:
        """The limit for a link of ``rate_bps`` and ``rtt_ns``; BDP = rate x RTT / 8, at least three
        packets.
        """
        if self.size_bytes is not None:
            return self.size_bytes
        assert self.bdp is not None
        return max(MIN_BUFFER_BYTES, round(self.bdp * rate_bps * rtt_ns / NS_PER_S / 8))

    def __str__(self) -> str:
        return f"{self.bdp:g}bdp" if self.size_bytes is None else format_size(self.size_bytes)
