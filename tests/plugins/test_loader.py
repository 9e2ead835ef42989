"""Classes of the user's own: loaded, checked, and refused in one line."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import pytest

from plugins import PluginError, absolute, is_reference, load_class


class Speaker(Protocol):
    name: str

    def speak(self, times: int) -> str: ...


class Walker(ABC):
    @abstractmethod
    def walk(self) -> int: ...


GOOD = """
from dataclasses import dataclass

@dataclass
class Mine:
    name: str = "mine"

    def speak(self, times):
        return "hello " * times

class Mute:
    name = "mute"

number = 5
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)


def test_a_class_is_loaded_once_until_its_file_changes(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    first = load_class(f"{file}:Mine", Speaker, "speaker")
    assert first().speak(2) == "hello hello "
    assert load_class(f"{file}:Mine", Speaker, "speaker") is first
    written(tmp_path, GOOD.replace("hello ", "hallo "))
    assert load_class(f"{file}:Mine", Speaker, "speaker")().speak(1) == "hallo "
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        (GOOD, "mine.py", "name the class too, mine.py:ClassName"),
        (GOOD, "mine.py:", "write path/to/file.py:ClassName"),
        (GOOD, "none.py:Mine", "speaker file none.py: no such file"),
        (GOOD, "./mine.txt:Mine", "speaker file ./mine.txt: no such file"),
        (GOOD, "mine.py:Yours", "no class 'Yours'; those that fit: Mine"),
        (GOOD, "mine.py:Mute", "Mute has no speak; Speaker asks for it"),
        (GOOD, "mine.py:number", "number is no class; it is of type int"),
        ("def f(:\n", "mine.py:Mine", "mine.py:1: SyntaxError: "),
        ("x = 1\n1 / 0\n", "mine.py:Mine", "mine.py:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "mine.py:Mine", "mine.py:1: SystemExit: 3"),
        ("import zzz_no\n", "mine.py:Mine", "No module named 'zzz_no'; install the module"),
        ("\xff\0", "mine.py:Mine", "mine.py"),
        (GOOD, "zzz_no.module:Mine", "no such module; a file is named like path/to/file.py"),
        (GOOD, "json:Mine", "speaker module json: no class 'Mine'"),
        (GOOD, "json:JSONDecoder", "JSONDecoder has no name, speak"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reference: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text)
    with pytest.raises(PluginError, match=re.escape(message)) as caught:
        load_class(reference, Speaker, "speaker")
    assert "\n" not in str(caught.value)


def test_a_base_class_is_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, "class Mine:\n    pass\n")
    with pytest.raises(KeyError, match="Mine must derive from"):
        load_class(f"{file}:Mine", Walker, "walker", KeyError)
    file = written(
        tmp_path,
        f"import sys\nbase = sys.modules[{Walker.__module__!r}].Walker\nclass Mine(base):\n    "
        "pass\n",
    )
    import sys

    sys.modules.setdefault(Walker.__module__, sys.modules[__name__])
    with pytest.raises(PluginError, match="Mine does not define walk"):
        load_class(f"{file}:Mine", Walker, "walker")


def test_neighbours_of_the_file_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit('the neighbour was run')\n")
    file = written(tmp_path, "import colorsys\n" + GOOD)
    assert load_class(f"{file}:Mine", Speaker, "speaker")


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_reference("./mine.py:Mine")
    assert is_reference("package.module:Mine")
    assert is_reference("mine.py")
    assert not is_reference("mahimahi")
    assert absolute("mine.py:Mine") == f"{tmp_path.resolve()}/mine.py:Mine"
    assert absolute("package.module:Mine") == "package.module:Mine"
