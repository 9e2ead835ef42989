"""Expectations judged over hand-made repeats, and how the judgements are told."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from analysis.errors import AnalysisError
from analysis.expect.evaluate import Cells, Judgement, Outcome, exit_status, judge
from analysis.expect.expression import parse
from analysis.expect.output import junit, line, markdown
from analysis.metrics.percentiles import PercentilesMs
from analysis.metrics.schema import CellMetrics

NONE = PercentilesMs(p50=None, p95=None, p99=None)


def cell(cc: str, repeat: int, power: float | None, flow: int = 0) -> CellMetrics:
    nothing: dict[str, Any] = dict.fromkeys(
        ("utilisation", "loss_rate", "retransmit_rate", "jain", "link_utilisation")
    )
    delays = {"owd_ms": NONE, "qdelay_ms": NONE, "rtt_ms": NONE}
    return CellMetrics(
        cell=f"{cc}-{repeat}",
        cc=cc,
        repeat=repeat,
        seed=repeat,
        flow=flow,
        kind="bulk",
        throughput_mbps=1.0,
        power=power,
        **delays,
        **nothing,
    )


def cells(**powers: list[float | None]) -> Cells:
    return {
        cc: {(repeat, repeat): [cell(cc, repeat, power)] for repeat, power in enumerate(values)}
        for cc, values in powers.items()
    }


def judged(text: str, found: Cells, baseline: Cells | None = None) -> list[Judgement]:
    return judge(parse(text, set(found) | set(baseline or ())), found, baseline)


def outcome(text: str, found: Cells) -> Outcome:
    (only,) = judged(text, found)
    return only.outcome


def test_the_pairs_decide_not_the_medians() -> None:
    """Repeats differ a lot, and in each of them a has 1 less than b."""
    found = cells(a=[9.0, 19.0, 29.0, 39.0, 49.0], b=[10.0, 20.0, 30.0, 40.0, 50.0])
    (only,) = judged("a.power < b.power", found)
    assert only.outcome is Outcome.PASS
    assert (only.left, only.right, only.difference, only.pairs) == (29.0, 30.0, -1.0, 5)
    assert only.ci95 == (-1.0, -1.0)
    assert outcome("a.power >= b.power", found) is Outcome.FAIL
    assert outcome("a.power <= 0.5 * b.power", found) is Outcome.FAIL
    assert outcome("b.power - a.power <= 1", found) is Outcome.PASS
    assert outcome("b.power - a.power < 1", found) is Outcome.FAIL


def test_what_the_data_cannot_tell() -> None:
    wide = cells(a=[1.0, 3.0, 1.0, 3.0, 1.0, 3.0])
    assert outcome("a.power <= 2", wide) is Outcome.UNDECIDED
    few = judged("a.power <= 2", cells(a=[1.0, 1.0, 1.0, 1.0]))
    assert few[0].outcome is Outcome.UNDECIDED
    assert "give --repeats 5" in few[0].reason
    missing = judged("a.power <= 2", cells(a=[None] * 6))
    assert missing[0].outcome is Outcome.UNDECIDED
    assert missing[0].reason == "no cell has these metrics"


def test_pairs_that_lack_a_side_are_left_out() -> None:
    found = cells(a=[1.0] * 6 + [None], b=[2.0] * 5 + [None, 2.0])
    (only,) = judged("a.power < b.power", found)
    assert (only.pairs, only.outcome) == (5, Outcome.PASS)


def test_every_controller_in_turn_and_against_a_baseline() -> None:
    found, before = cells(a=[2.0] * 5, b=[1.0] * 5), cells(a=[1.0] * 5, b=[1.5] * 5)
    ends = judged("power >= 0.9 * baseline.power", found, before)
    assert [(end.controller, end.outcome) for end in ends] == [
        ("a", Outcome.PASS),
        ("b", Outcome.FAIL),
    ]
    with pytest.raises(AnalysisError, match="it names a baseline; use `tbtest compare"):
        judged("power >= baseline.power", found)


def test_the_exit_status() -> None:
    found = cells(a=[1.0] * 5, b=[1.0, 3.0] * 3)
    holds, fails = judged("a.power <= 1", found), judged("a.power > 1", found)
    unknown = judged("b.power <= 2", found)
    assert exit_status(holds) == 0
    assert exit_status([*holds, *unknown]) == 3
    assert exit_status([*holds, *unknown, *fails]) == 1


def test_junit_and_markdown() -> None:
    found = cells(a=[1.0] * 5, b=[1.0, 3.0] * 3)
    all_three = [
        *judged("a.power <= 1", found),
        *judged("a.power > 1", found),
        *judged("b.power <= 2", found),
    ]
    suite = fromstring(junit(all_three, "run"))[0]
    assert suite.attrib == {"name": "run", "tests": "3", "failures": "1", "errors": "1"}
    assert [[part.tag for part in case] for case in suite] == [[], ["failure"], ["error"]]
    assert suite[0].attrib["name"] == "a.power <= 1"
    table = markdown(all_three, "run").splitlines()
    assert table[4].startswith("| ✅ pass | `a.power <= 1` | 1 | 1 |")
    assert "❌ fail" in table[5]
    assert "❔ cannot tell" in table[6]
    assert line(all_three[1]) == (
        "fail       a.power > 1: 1 against 1, difference 0 [0, 0] over 5 pairs; the whole interval "
        "breaks it"
    )
