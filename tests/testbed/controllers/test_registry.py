"""The names that --cc takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy import registry as policies
from testbed.controllers import registry
from testbed.controllers.registry import full_name, full_names, label, of_policies, parse, served
from testbed.errors import UserError


def test_aliases_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    assert full_name("oracle") == "policy:oracle"
    assert full_name("policy:light") == "policy:persistence"
    assert full_name("policy:apc") == "policy"
    assert full_name("bbr") == "bbr"
    assert full_name("policy:./mine.py:Mine") == f"policy:{tmp_path}/mine.py:Mine"
    assert full_name("bpf:mine.bpf.c") == f"bpf:{tmp_path}/mine.bpf.c"


def test_a_full_name_stays() -> None:
    for name, _ in registry.listing():
        if "FILE" not in name and "OBJECTIVE" not in name:
            assert full_name(full_name(name)) == full_name(name)


def test_labels_have_no_paths() -> None:
    assert label("policy:/home/me/mine.py:Mine") == "policy:mine.py:Mine"
    assert label("bpf:/home/me/mine.bpf.o") == "bpf:mine.bpf.o"
    assert label("policy:gcc") == "policy:gcc"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy:gccc", "did you mean gcc"),
        ("policy:persistance", "did you mean persistence"),
        ("observe:bbbr", "did you mean observe:bbr"),
    ],
)
def test_a_typo_gets_the_nearest_names(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        full_name(name)


def test_no_two_mean_or_look_the_same() -> None:
    with pytest.raises(UserError, match="named twice"):
        full_names(["oracle", "policy:oracle"])
    with pytest.raises(UserError, match=r"both be called bpf:mine.bpf.c"):
        full_names(["bpf:/a/mine.bpf.c", "bpf:/b/mine.bpf.c"])


def test_what_the_server_loads() -> None:
    asked = of_policies(
        ["bbr", "policy:gcc", "policy:llm", "policy:/a/mine.py:Mine", "observe:bbr"]
    )
    assert served(asked) == {"tiers": ["/a/mine.py:Mine", "llm"], "difficult": None}
    assert served(of_policies(["policy", "policy:oracle"])) == {"tiers": []}


def test_every_policy_is_listed_with_a_sentence() -> None:
    listed = dict(registry.listing())
    assert {f"policy:{name}" for name in policies.names()} <= set(listed)
    assert set(registry.ALIASES) <= set(listed)
    assert all(listed.values())
    assert parse("policy").kind == "policy"


def test_an_objective_behind_a_policy() -> None:
    assert full_name("policy:light@latency") == "policy:persistence@latency"
    assert full_name("policy:apc@1") == "policy@throughput"
    assert full_name("policy@0.70") == "policy@0.7"
    assert parse("policy:gcc").objective is None
    assert (parse("policy@latency").rest, parse("policy@latency").objective) == ("apc", 0.0)
    assert label("policy:/a@b/mine.py:Mine@0.25") == "policy:mine.py:Mine@0.25"
    assert parse("policy:/a@b/mine.py:Mine").objective is None
    assert of_policies(["policy:mlp@latency", "bbr"]) == ("mlp",)


@pytest.mark.parametrize("name", ["policy@fast", "policy:mlp@2", "policy:light@"])
def test_an_objective_that_is_none(name: str) -> None:
    with pytest.raises(UserError, match=r"objective .* is neither latency, balanced, throughput"):
        full_name(name)
