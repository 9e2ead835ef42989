"""Mistakes that pydantic finds, in one line."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from settings import first_mistake


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: int = 1


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rtt_ns: int = Field(1, alias="rtt", ge=1)
    seed: int = 1
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _odd(self) -> Model:
        if self.seed == 2:
            raise ValueError("the seed must be odd")
        return self


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"rtt": 0}, "rtt = 0: Input should be greater than or equal to 1"),
        ({"sed": 3}, "unknown key 'sed'; did you mean seed?; known: rtt, seed, inner"),
        ({"zzz": 3}, "unknown key 'zzz'; known: rtt, seed, inner"),
        ({"inner": {"dept": 1}}, "unknown key 'inner.dept'"),
        ({"seed": 2}, "the seed must be odd"),
    ],
)
def test_key_value_and_reason(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Model.model_validate(data)
    assert first_mistake(raised.value, Model) == text


def test_a_prefix_and_a_noun() -> None:
    with pytest.raises(ValidationError) as raised:
        Inner.model_validate({"dept": 1})
    assert (
        first_mistake(raised.value, Inner, prefix="policy.oracle", what="option")
        == "unknown option 'policy.oracle.dept'; did you mean depth?; known: depth"
    )


def test_a_long_value_is_left_out() -> None:
    with pytest.raises(ValidationError) as raised:
        Model.model_validate({"seed": "x" * 100})
    assert first_mistake(raised.value, Model).startswith("seed: Input should be")
