"""Command lines and their placeholders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.command.template import PLACEHOLDERS, fill, words

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


def test_a_line_is_split_as_a_shell_would() -> None:
    assert words("nc -l '{port}' \"a b\"") == ("nc", "-l", "{port}", "a b")
    assert words(["nc", "a b"]) == ("nc", "a b")


def test_placeholders_are_filled_in_wherever_they_stand() -> None:
    assert fill(["-c{receiver}:{port}", "{cc}"], VALUES) == ["-c<receiver>:<port>", "<cc>"]


def test_braces_of_json_and_of_the_shell_stay() -> None:
    line = ("sh", "-c", 'echo ${flow} {"a": {}} {A}')
    assert words(list(line)) == line
    assert fill(line, VALUES) == list(line)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nc {reciever}", "known: {sender}, {receiver}"),
        ("nc 'open", "not a command line"),
        ("", "empty"),
        ([], "empty"),
        (7, "neither"),
        (["a", 7], "neither"),
    ],
)
def test_a_mistake_is_told(line: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        words(line)


@given(st.lists(st.text(st.characters(exclude_characters="{}")), min_size=1))
def test_words_without_braces_are_left_alone(line: list[str]) -> None:
    assert fill(line, VALUES) == line
