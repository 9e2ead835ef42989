"""tcconfig's JSON (`tcshow`): per device and direction, rules with `rate`, `delay` and `loss`. They
never change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from traces.formats.base import ReadOnly
from traces.formats.json_elements import parse_json
from traces.formats.source import Source
from traces.formats.units import parse_rate_bps, parse_share, parse_time_ns
from traces.forms import Steps
from traces.model import Trace

_DIRECTION = re.compile(r'"(outgoing|incoming)"\s*:\s*\{')


class TcConfig(ReadOnly):
    name = "tcconfig"
    suffix = ""
    description = "tcconfig JSON: one rule with rate, delay and loss"

    def matches(self, text: str) -> bool:
        return text.lstrip().startswith("{") and _DIRECTION.search(text) is not None

    def read(self, source: Source, name: str) -> Trace:
        rules = [(where, rule) for where, rule in _rules(parse_json(source)) if "rate" in rule]
        if not rules:
            raise source.error("", "no rule has a rate; a trace needs one")
        if len(rules) > 1:
            places = "; ".join(where for where, _ in rules)
            raise source.error(
                "", f"{len(rules)} rules have a rate ({places[:200]}); leave one of them"
            )
        where, rule = rules[0]
        rate_bps = parse_rate_bps(str(rule["rate"]))
        delay_ns = parse_time_ns(str(rule.get("delay", "0ms")))
        loss = parse_share(str(rule.get("loss", "0%")))
        for key, value in (("rate", rate_bps), ("delay", delay_ns), ("loss", loss)):
            if value is None:
                raise source.error(
                    where, f"{key} is {str(rule.get(key))[:40]!r}, which has no known unit"
                )
        assert rate_bps is not None and delay_ns is not None and loss is not None  # noqa: PT018
        left_out = sorted(set(rule) - {"rate", "delay", "loss", "filter_id"})
        if left_out:
            source.notes.append(f"its {', '.join(left_out)[:100]} is left out")
        steps = Steps(
            np.array([0]),
            np.array([rate_bps]),
            np.array([round(delay_ns)]) if delay_ns else None,
            np.array([loss]) if loss else None,
        )
        return Trace(name, None, steps)


def _rules(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, rule) of a document of devices, directions and rules."""
    for device, directions in document.items() if isinstance(document, Mapping) else ():
        for direction, rules in directions.items() if isinstance(directions, Mapping) else ():
            for match, rule in rules.items() if isinstance(rules, Mapping) else ():
                if isinstance(rule, Mapping):
                    yield f"{device} {direction} {match}", rule
