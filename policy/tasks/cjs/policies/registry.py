"""The rule policies by name, with the parameters they are run with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.simulator.choose import CAP, FAIR, FIFO, GRAPHENE, RANDOM, SJF, WEIGHTED_FAIR


@dataclass(frozen=True)
class RulePolicy:
    """A compiled rule: its number in ``entries.choose`` and its parameters."""

    name: str
    number: int
    parameters: tuple[float, ...] = (0.0,)

    def array(self) -> FloatArray:
        """The parameters as the compiled loops take them."""
        return np.array(self.parameters, np.float64)


# Parameters of cap, weighted-fair and graphene are the best on 20 validation sequences of TPC-H
# queries: `python -m experiments.cjs.search`, docs/results/cjs.md.
RULES = {
    rule.name: rule
    for rule in (
        RulePolicy("fifo", FIFO, (1.0,)),
        RulePolicy("fifo-half", FIFO, (0.5,)),
        RulePolicy("fair", FAIR),
        RulePolicy("cap", CAP, (18.0, 1.0)),
        RulePolicy("weighted-fair", WEIGHTED_FAIR, (0.25,)),
        RulePolicy("sjf", SJF),
        RulePolicy("graphene", GRAPHENE, (0.1, 14.0)),
        RulePolicy("random", RANDOM, (1.0,)),
    )
}


def rule(name: str) -> RulePolicy:
    """The rule of that name. Raises PolicyError listing the names."""
    if name not in RULES:
        raise PolicyError(f"policy {name}: unknown; give one of {', '.join(RULES)}")
    return RULES[name]
