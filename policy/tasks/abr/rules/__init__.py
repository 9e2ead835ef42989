"""The rules by name, with their options: `robust-mpc`,
`robust-mpc:horizon=8,prior_error=.3,factor=.9`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from policy.errors import PolicyError
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.rules.bba import Bba
from policy.tasks.abr.rules.bola import Bola
from policy.tasks.abr.rules.dynamic import Dynamic
from policy.tasks.abr.rules.fast_mpc import FastMpc
from policy.tasks.abr.rules.mpc import Mpc
from policy.tasks.abr.rules.oracle_mean import OracleMean
from policy.tasks.abr.rules.rate import Rate
from policy.tasks.abr.rules.robust_mpc import RobustMpc

ABOUT = {
    "rate": "the highest level below the recent throughput",
    "bba": "buffer-based: the level grows with the buffer",
    "bola": "Lyapunov optimisation over the buffer; it remembers, so a server cannot answer by it",
    "dynamic": "dash.js's choice between throughput rule and BOLA; it remembers, too",
    "mpc": "the best plan over the next chunks at the predicted throughput",
    "robust-mpc": "mpc with its prediction cut by its recent errors",
    "fast-mpc": "robust-mpc to the end of the video, from a table",
    "oracle-mean": "mpc that knows the mean rate to come; simulation only",
}
"""A sentence on each rule, for lists."""
RULES: dict[str, Callable[..., Abr]] = {
    "rate": Rate,
    "bba": Bba,
    "bola": Bola,
    "dynamic": Dynamic,
    "mpc": Mpc,
    "robust-mpc": RobustMpc,
    "fast-mpc": FastMpc,
    "oracle-mean": OracleMean,
}


def make_rule(text: str) -> Abr:
    """The rule that `name` or `name:option=number,...` asks for. Raises PolicyError."""
    name, _, options = text.partition(":")
    if name not in RULES:
        raise PolicyError(f"no rule {name!r}; there are {', '.join(RULES)}")
    known = inspect.signature(RULES[name]).parameters
    given: dict[str, float | int] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in known:
            have = ", ".join(known) or "none"
            raise PolicyError(f"{text}: no option {key!r} of {name}; it has {have}")
        try:
            given[key] = int(value) if str(known[key].annotation) == "int" else float(value)
        except ValueError:
            raise PolicyError(f"{text}: {key} must be a number, not {value!r}") from None
    return RULES[name](**given)


__all__ = ["RULES", "Abr", "make_rule"]
