"""Loss, policers and reordering as people write them: ``0.5%`` (independent) or ``ge:...``
(Gilbert-Elliott), ``5mbit,50kB``, ``1%,5ms``.
"""

from __future__ import annotations

from testbed.errors import UserError
from testbed.links.impairments import Loss, Policer, Reorder
from testbed.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration_ns,
    parse_fraction,
    parse_rate_bps,
    parse_size_bytes,
)

_FORM = (
    "ge:P_GOOD_BAD,P_BAD_GOOD[,LOSS_BAD[,LOSS_GOOD]], for example ge:1%,30% or ge:0.01,0.3,0.8,0"
)


def parse_loss(text: object) -> Loss | None:
    """``"0.5%"``, ``"ge:1%,30%"`` (transition probabilities per packet, then the loss in either
    state), ``"none"``.

    Raises UserError.
    """
    words = str(text).strip().lower()
    if words in ("none", "0", "0%", ""):
        return None
    if not words.startswith("ge:"):
        return Loss.random(parse_fraction(words))
    values = [parse_fraction(part) for part in words.removeprefix("ge:").split(",")]
    if not 2 <= len(values) <= 4:
        raise UserError(f"loss {text!r}: Gilbert-Elliott loss is written {_FORM}")
    p_good_bad, p_bad_good, loss_bad, loss_good = [*values, *(1.0, 0.0)[len(values) - 2 :]]
    if p_good_bad > 0 and p_bad_good == 0:
        raise UserError(f"loss {text!r}: the bad state is never left; {_FORM}")
    return Loss(
        p_good_bad=p_good_bad, p_bad_good=p_bad_good, loss_bad=loss_bad, loss_good=loss_good
    )


def format_loss(loss: Loss | None) -> str:
    """What ``parse_loss`` reads."""
    if loss is None:
        return "none"
    if loss.p_good_bad == 0:
        return f"{loss.loss_good:.12g}"
    chances = (loss.p_good_bad, loss.p_bad_good, loss.loss_bad, loss.loss_good)
    return "ge:" + ",".join(f"{chance:.12g}" for chance in chances)


def parse_reorder(text: object) -> Reorder:
    """``"1%,5ms"``: the chance of a packet, and by how much it is held back; ``"none"``. Raises
    UserError.
    """
    words = str(text).strip().lower()
    if words == "none":
        return Reorder()
    chance, comma, delay = words.partition(",")
    if not comma:
        raise UserError(f"reorder {text!r}: write chance and delay, for example 1%,5ms")
    return Reorder(parse_fraction(chance), parse_duration_ns(delay))


def format_reorder(reorder: Reorder) -> str:
    """What ``parse_reorder`` reads."""
    if not reorder.chance:
        return "none"
    return f"{reorder.chance:.12g},{format_duration(reorder.delay_ns)}"


def parse_policer(text: object) -> Policer:
    """``"5mbit,50kB"``: the rate and the burst that pass; ``"none"``. Raises UserError."""
    words = str(text).strip()
    if words.lower() == "none":
        return Policer()
    rate, comma, burst = words.partition(",")
    if not comma:
        raise UserError(f"policer {text!r}: write rate and burst, for example 5mbit,50kB")
    return Policer(parse_rate_bps(rate), parse_size_bytes(burst))


def format_policer(policer: Policer) -> str:
    """What ``parse_policer`` reads."""
    if not policer.rate_bps:
        return "none"
    return f"{format_rate(policer.rate_bps)},{format_size(policer.burst_bytes)}"
