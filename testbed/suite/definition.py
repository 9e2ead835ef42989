"""A suite as its folder holds it: suite.yaml, and a scenario file for each case."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from settings import first_mistake
from testbed.errors import UserError
from testbed.mappings import read_yaml
from testbed.parts import About
from testbed.scenario import Scenario, parse_scenario
from testbed.suite.scale import scaled

_ABOUT = "suite.yaml"


class Elsewhere(BaseModel):
    """A section of the standard that the suite does not run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: str
    title: str
    reason: str = Field(description="why no namespace testbed, or not this one, can tell")


class Head(BaseModel):
    """suite.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    standard: str = Field(description="what is tested against: RFC 8867")
    title: str
    url: str = Field(pattern="^https://", description="of the text; #section-N is added")
    note: str = Field(description="whose the figures in the expectations are, and what is general")
    elsewhere: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True)
class Case:
    """One scenario of a suite, by the name of its file."""

    name: str
    data: dict[str, Any]  # the scenario as written, without controllers
    about: About


@dataclass(frozen=True)
class Suite:
    """A suite with its cases, in the order of their names."""

    name: str
    head: Head
    cases: tuple[Case, ...]

    def chosen(self, names: tuple[str, ...]) -> tuple[Case, ...]:
        """The cases of these names or sections; all of them for none. Raises UserError."""
        for name in names:
            if not any(name in (case.name, case.about.section) for case in self.cases):
                known = ", ".join(case.name for case in self.cases)
                raise UserError(f"--case {name}: {self.name} has no such case; it has {known}")
        return tuple(
            case
            for case in self.cases
            if not names or case.name in names or case.about.section in names
        )


def folder() -> Path:
    """Where the suites lie."""
    return Path(str(resources.files("testbed.suite").joinpath("cases")))


def suite_names() -> list[str]:
    """The suites that there are."""
    return sorted(path.parent.name for path in folder().glob(f"*/{_ABOUT}"))


def load_suite(name: str) -> Suite:
    """The suite of that name. Raises UserError naming file, key and value."""
    if name not in suite_names():
        raise UserError(f"suite {name!r}: unknown; known: {', '.join(suite_names())}")
    home = folder() / name
    try:
        head = Head.model_validate(read_yaml(home / _ABOUT))
    except ValidationError as error:
        raise UserError(f"{home / _ABOUT}: {first_mistake(error, Head)}") from error
    paths = [path for path in home.glob("*.yaml") if path.name != _ABOUT]
    return Suite(name, head, tuple(_case(path) for path in sorted(paths, key=_order)))


def _case(path: Path) -> Case:
    data = read_yaml(path)
    about = parse_scenario(data, str(path)).about
    if about is None or not data.get("expect"):
        raise UserError(f"{path}: a case of a suite needs the keys about and expect")
    return Case(path.stem, data, about)


def _order(path: Path) -> tuple[list[int], str]:
    """By section, as numbers; names without a number by themselves."""
    head = path.stem.partition("-")[0]
    numbers = head.split(".")
    whole = all(number.isdigit() for number in numbers)
    return ([int(number) for number in numbers] if whole else []), path.stem


def scenario_of(case: Case, cc: tuple[str, ...] | None, repeats: int, scale: float) -> Scenario:
    """The case for these controllers (None: the default ones), its times multiplied by ``scale``.

    Raises UserError.
    """
    data = {**case.data, "repeats": repeats}
    if cc is not None:
        data["cc"] = list(cc)
    return scaled(parse_scenario(data, case.name), scale)
