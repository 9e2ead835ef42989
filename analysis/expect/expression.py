"""The language of expectations: ``policy.stall_200 <= 0.7 * bbr.stall_200``. Pure, no eval.

    expectation = sum ("<=" | "<" | ">=" | ">") sum
    sum         = product (("+" | "-") product)*
    product     = factor (("*" | "/") factor)*
    factor      = number ["%"] | "-" factor | "(" sum ")" | name

A name is ``CONTROLLER.METRIC``, ``METRIC`` (of every controller in turn), or either after
``baseline.`` (of the baseline run). A minus needs a space before it, as names may hold one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from analysis.errors import AnalysisError
from analysis.metrics.table import METRICS

_MAX_CHARACTERS = 500
_MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?)"
    r"|(?P<name>[A-Za-z_](?:[\w.:]|-(?=\w))*)"
    r"|(?P<sign><=|>=|<|>|[-+*/()]))"
)
_COMPARISONS = ("<=", "<", ">=", ">")
BASELINE = "baseline."


def _metric_paths() -> dict[str, str]:
    """Every name of a metric -> its path in metrics.json."""
    paths: dict[str, str] = {}
    for metric in METRICS:
        if metric.path:
            short = metric.path.rpartition("video.")[2].replace("_rate_", "_")
            paths |= {metric.name: metric.path, metric.path: metric.path, short: metric.path}
    return paths


METRIC_PATHS = _metric_paths()
"""A metric's column in the league, its path in metrics.json, and of video also ``stall_200ms``."""


@dataclass(frozen=True)
class Name:
    """A metric. controller: None where the expectation is of every one in turn."""

    controller: str | None
    path: str
    baseline: bool


Values = Callable[[Name], float]
"""A metric's value in one pair; NaN where it has none."""


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Operation:
    """Two sides and what joins them: + - * or /."""

    sign: str
    left: Node
    right: Node


Node = Number | Name | Operation


def value(node: Node, values: Values) -> float:
    """What a side of an expectation amounts to; NaN where a metric is missing or a divisor is 0."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return values(node)
    left, right = value(node.left, values), value(node.right, values)
    if node.sign == "/":
        return left / right if right else float("nan")
    return {"+": left + right, "-": left - right, "*": left * right}[node.sign]


def names(node: Node) -> Iterator[Name]:
    """The metrics that a side holds."""
    if isinstance(node, Name):
        yield node
    elif isinstance(node, Operation):
        yield from names(node.left)
        yield from names(node.right)


@dataclass(frozen=True)
class Expectation:
    """``left`` compared with ``right``."""

    text: str
    comparison: str
    left: Node
    right: Node

    @property
    def names(self) -> list[Name]:
        """All metrics in it."""
        return [*names(self.left), *names(self.right)]

    @property
    def of_every_controller(self) -> bool:
        """Whether it is to be judged for each controller in turn."""
        return any(name.controller is None for name in self.names)


def parse(text: str, controllers: Collection[str]) -> Expectation:
    """The expectation in ``text`` about ``controllers``. Raises AnalysisError with the remedy."""
    return _Parser(text, controllers).expectation()


class _Parser:
    def __init__(self, text: str, controllers: Collection[str]) -> None:
        self._text = text.strip()
        self._controllers = sorted(controllers, key=len, reverse=True)
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def expectation(self) -> Expectation:
        left = self._sum()
        comparison = self._take()
        if comparison not in _COMPARISONS:
            raise self._error(f"{comparison or 'its end'} stands where one of <= < >= > must be")
        right = self._sum()
        if self._at < len(self._tokens):
            raise self._error(f"{self._tokens[self._at]!r} is left over")
        found = Expectation(self._text, comparison, left, right)
        if not found.names:
            raise self._error("it names no metric")
        return found

    def _split(self) -> list[str]:
        if len(self._text) > _MAX_CHARACTERS:
            raise self._error(f"it is longer than {_MAX_CHARACTERS} characters")
        tokens, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self._error(f"{self._text[at:].strip()[:20]!r} is not understood")
            tokens.append(match[match.lastgroup or 0])
            at = match.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _sum(self) -> Node:
        return self._chain(self._product, "+", "-")

    def _product(self) -> Node:
        return self._chain(self._factor, "*", "/")

    def _chain(self, part: Callable[[], Node], *signs: str) -> Node:
        node = part()
        while self._peek() in signs:
            node = Operation(self._take(), node, part())
        return node

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("it is nested too deeply")
        word = self._take()
        node: Node
        if word == "(":
            node = self._sum()
            if self._take() != ")":
                raise self._error("a bracket is not closed")
        elif word == "-":
            node = Operation("-", Number(0.0), self._factor())
        elif word and (word[0].isdigit() or word[0] == "."):
            per_cent = word.endswith("%")
            node = Number(float(word.rstrip("%")) / (100 if per_cent else 1))
        elif word and (word[0].isalpha() or word[0] == "_"):
            node = self._name(word)
        else:
            raise self._error(f"{word or 'its end'} stands where a number or a metric must be")
        self._depth -= 1
        return node

    def _name(self, word: str) -> Name:
        baseline = word.startswith(BASELINE)
        rest = word.removeprefix(BASELINE)
        for controller in self._controllers:
            if rest.startswith(f"{controller}."):
                return Name(controller, self._path(rest[len(controller) + 1 :]), baseline)
        if rest in METRIC_PATHS:
            return Name(None, METRIC_PATHS[rest], baseline)
        owner, _, metric = rest.partition(".")
        if metric in METRIC_PATHS:
            known = ", ".join(sorted(self._controllers))
            raise self._error(f"{owner!r} is none of the run's controllers: {known}")
        return Name(None, self._path(rest), baseline)

    def _path(self, metric: str) -> str:
        if metric in METRIC_PATHS:
            return METRIC_PATHS[metric]
        close = difflib.get_close_matches(metric, METRIC_PATHS, n=3, cutoff=0.4)
        hint = (
            f"did you mean {', '.join(close)}?" if close else "docs/reference/metrics.md has them"
        )
        raise self._error(f"{metric!r} is no metric; {hint}")

    def _error(self, what: str) -> AnalysisError:
        return AnalysisError(
            f"expectation {self._text[:_MAX_CHARACTERS]!r}: {what}; write it like "
            "'policy.stall_200 <= 0.7 * bbr.stall_200'"
        )
