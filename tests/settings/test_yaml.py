"""Reading YAML: safe, no key twice, mistakes named by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from settings import SettingsError, parse_yaml, read_mapping
from settings.yaml import MAX_BYTES

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(_VALUES)
def test_what_yaml_can_write_is_read_back(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value), "text") == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rtt: 40ms\nrtt: 80ms\n", 2),
        ("flow_options:\n  fps: 30\n  max_bps: 1\n  fps: 60\n", 4),
        ("a: [{x: 1, x: 2}]\n", 1),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_line(text: str, line: int) -> None:
    with pytest.raises(SettingsError, match=rf"^file:{line}: .*stands in line \d+ already"):
        parse_yaml(text, "file")


def test_a_merge_key_may_be_overridden() -> None:
    assert parse_yaml("base: &b {x: 1, y: 2}\nown: {<<: *b, x: 3}\n", "text")["own"] == {
        "x": 3,
        "y": 2,
    }


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.getcwd []", "a: [1", "? [a]\n: 1", "2026-99-99: x", "[" * 3000],
)
def test_what_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_yaml(text, "file")
    assert str(raised.value).startswith("file")
    assert "\n" not in str(raised.value)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("")
    assert read_mapping(path, "a scenario") == {}
    path.write_text("rtt: 40ms\n")
    assert read_mapping(path, "a scenario") == {"rtt": "40ms"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"- 1\n", "a scenario is a mapping"),
        (b"1: 2\n", "a scenario is a mapping"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"#" * (MAX_BYTES + 1), "longer than"),
    ],
)
def test_a_file_that_holds_something_else_is_named(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as raised:
        read_mapping(path, "a scenario")
    assert str(raised.value).startswith(str(path))


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        read_mapping(tmp_path / "b.yaml", "a scenario")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_mapping(tmp_path, "a scenario")
