"""Who drives the closed loop."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from experiments.congestion.closed_loop import REFERENCES, contestants


def test_references_come_first_and_candidates_bring_their_checkpoints() -> None:
    found = contestants(["llm=runs/a=b", "llm=runs/c"])
    assert list(found) == [*REFERENCES, "llm=runs/a=b", "llm=runs/c"]
    assert found["llm=runs/a=b"] == ("llm", Path("runs/a=b"))
    assert all(found[name] == (name, None) for name in REFERENCES)


@pytest.mark.parametrize("entry", ["llm", "llm=", "bbr"])
def test_a_candidate_without_a_checkpoint_is_named(entry: str) -> None:
    with pytest.raises(click.BadParameter, match=f"'{entry}': give TIER=CHECKPOINT"):
        contestants([entry])
