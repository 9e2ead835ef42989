"""Judgements as JUnit XML, as Markdown and as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from analysis.expect.evaluate import Judgement, Outcome

_MARKS = {Outcome.PASS: "✅ pass", Outcome.FAIL: "❌ fail", Outcome.UNDECIDED: "❔ cannot tell"}


def line(judgement: Judgement) -> str:
    """``pass  policy.loss_rate <= 5%: 0.01 against 0.05, difference -0.04 [-0.05, -0.03]``."""
    return f"{judgement.outcome:9}  {judgement.name}: {_figures(judgement)}"


def _figures(judgement: Judgement) -> str:
    text = f"{_number(judgement.left)} against {_number(judgement.right)}"
    if judgement.ci95 is not None:
        low, high = judgement.ci95
        text += f", difference {_number(judgement.difference)} [{_number(low)}, {_number(high)}]"
    return f"{text} over {judgement.pairs} pairs; {judgement.reason}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def junit(judged: Sequence[Judgement], suite: str) -> str:
    """A JUnit report: a failed expectation is a failure, an undecided one is an error, so that no
    reader of the format takes it for a pass.
    """
    return junit_of({suite: judged}, {})


def junit_of(judged: Mapping[str, Sequence[Judgement]], broken: Mapping[str, str]) -> str:
    """A JUnit report of several suites by name. ``broken``: suite -> why it could not be run, an
    error too.
    """
    root = Element("testsuites")
    for name in dict.fromkeys([*judged, *broken]):
        suite = SubElement(root, "testsuite", {"name": name})
        for judgement in judged.get(name, ()):
            case = SubElement(suite, "testcase", {"classname": name, "name": judgement.name})
            if judgement.outcome is not Outcome.PASS:
                kind = "failure" if judgement.outcome is Outcome.FAIL else "error"
                about = {"message": _figures(judgement), "type": str(judgement.outcome)}
                SubElement(case, kind, about)
        if name in broken:
            case = SubElement(suite, "testcase", {"classname": name, "name": "run"})
            SubElement(case, "error", {"message": broken[name], "type": "broken"})
        suite.attrib.update(_counts(suite))
    root.attrib.update(_counts(root))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _counts(element: Element) -> dict[str, str]:
    tags = {"tests": "testcase", "failures": "failure", "errors": "error"}
    return {key: str(sum(1 for _ in element.iter(tag))) for key, tag in tags.items()}


def markdown(judged: Sequence[Judgement], title: str) -> str:
    """A table for a pull request or GitHub's step summary."""
    rows = [
        f"| {_MARKS[judgement.outcome]} | `{_cell(judgement.name)}` | {_number(judgement.left)} | "
        f"{_number(judgement.right)} | {_cell(_interval(judgement))} |"
        for judgement in judged
    ]
    head = "| | expectation | left | right | difference, 95 % interval |\n|---|---|---|---|---|"
    return "\n".join([f"### {title}", "", head, *rows, ""])


def _interval(judgement: Judgement) -> str:
    if judgement.ci95 is None:
        return judgement.reason
    low, high = judgement.ci95
    return f"{_number(judgement.difference)} [{_number(low)}, {_number(high)}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
