"""Mistakes in the options are one line that names key and value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from policy.errors import PolicyError
from testbed.errors import UserError
from testbed.run.prepared import resolve
from testbed.scenario import parse_scenario
from testbed.traffic import kind
from testbed.traffic.abr import (
    abr_label,
    checkpoint_sha256,
    full_abr_name,
    full_abr_names,
    listing,
    split_abr_names,
)
from testbed.traffic.base import parse_options

MANIFEST = {
    "name": "v",
    "segment_duration_ms": 4000,
    "bitrates_kbps": [300, 900],
    "segment_sizes_bits": [[1.2e6, 3.6e6]] * 6,
}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"abr": "bolo"}, "no abr 'bolo'; known: rate, bba"),
        ({"abr": "mpc:horizon=99"}, "horizon 99"),
        ({"abr": "oracle-mean"}, "beforehand"),
        ({"abr": "x.safetensors"}, "policy:x.safetensors"),
        ({"abr": "dash.js"}, "set player to chromium"),
        ({"video": "/none.json"}, "/none.json: cannot be read"),
        ({"start_level": 6}, "the top is 5"),
        ({"buffer_cap_s": 5}, "two chunks of 4 s"),
        ({"qoe": "quality"}, "has no quality"),
        ({"fallback": "policy"}, "no rule 'policy'"),
        ({"levels": 3}, "unknown option 'levels'"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        parse_options(kind("dash"), options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("dash traffic: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"segment_sizes_bits": [[1e6, 2e6], [1e6]]}, "segment 1 has 1 values for 2 levels"),
        ({"bitrates_kbps": [300]}, "bitrates_kbps: has length 1; at least 2 are needed"),
        ({"segment_sizes_bits": None}, "segment_sizes_bits"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = tmp_path / "video.json"
    path.write_text(json.dumps(MANIFEST | change))
    with pytest.raises(UserError, match=says) as error:
        parse_options(kind("dash"), {"video": str(path)})
    assert str(path) in str(error.value)


def test_a_manifest_is_played(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    path.write_text(json.dumps(MANIFEST))
    options = parse_options(kind("dash"), {"video": str(path), "chunks": 3})
    again = parse_options(kind("dash"), options.model_dump(mode="json"))
    assert again == options
    assert again.played.sizes_bytes.tolist() == [[150_000, 450_000]] * 3  # type: ignore[attr-defined]


def test_names_are_split_made_full_and_told_apart() -> None:
    given = split_abr_names("mpc:horizon=3,factor=.9, bola,policy:default,policy:./a/b.safetensors")
    assert given[:2] == ["mpc:horizon=3,factor=.9", "bola"]
    names = full_abr_names(given)
    assert names[2] == "policy"
    assert Path(names[3].removeprefix("policy:")).is_absolute()
    assert abr_label(names[3]) == "policy:b.safetensors"
    with pytest.raises(ValueError, match="named twice"):
        full_abr_names(["policy", "policy:default"])


def test_the_axis_of_a_scenario() -> None:
    scenario = parse_scenario({"flow": "dash", "abr": "policy,bba", "rate": "3mbit"}, "test")
    prepared = resolve(scenario)
    assert list(prepared.flow_options) == ["policy", "bba"]
    assert [options.asked() for options in prepared.flow_options.values()] == [
        {"abr": "default"},
        {},
    ]
    again = parse_scenario(__import__("yaml").safe_load(scenario.to_yaml()), "again")
    assert again == scenario


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"abr": "bola"}, "video traffic has no levels to choose; use --flow dash"),
        ({"flow": "dash", "abr": "nope"}, "no abr 'nope'"),
        ({"flow": "dash", "abr": "policy:bola"}, "remembers earlier chunks"),
        (
            {"flow": "dash", "abr": "policy", "policy_server": "host:1"},
            "reaches unix sockets alone",
        ),
        (
            {"flow": "dash", "cross_traffic": [{"kind": "dash", "options": {"abr": "policy"}}]},
            "cross traffic decides itself",
        ),
    ],
)
def test_an_axis_that_cannot_be_is_refused(data: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        resolve(parse_scenario({"rate": "3mbit", **data}, "test"))


def test_every_name_that_is_listed_is_taken() -> None:
    listed = dict(listing())
    assert all(full_abr_name(name) == name for name in listed if "NAME" not in name)
    assert all(listed.values())
    assert "oracle-mean" not in listed


def test_a_checkpoint_is_identified_by_its_content(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    one, other = (checkpoint_sha256([str(file)], False) for file in sorted(tmp_path.iterdir()))
    assert one == other == hashlib.sha256(b"weights").hexdigest()
    assert checkpoint_sha256(["robust-mpc"], False) == ""
    assert checkpoint_sha256(["default"], False) != ""
    # Which network is the default of a server elsewhere, only that server knows.
    assert checkpoint_sha256(["default"], True) == ""
    with pytest.raises(PolicyError, match=r"absent\.safetensors: cannot be read"):
        checkpoint_sha256([str(tmp_path / "absent.safetensors")], False)


def test_a_model_of_several_tasks_is_asked_by_its_name_or_folder() -> None:
    folder = Path(__file__).parents[4] / "policy" / "tasks" / "checkpoints" / "generalist-small"
    for name in ("generalist-small", str(folder)):
        assert full_abr_name(f"policy:{name}") == f"policy:{name}"
        config = (folder / "config.json").read_bytes()
        assert checkpoint_sha256([name], False) == hashlib.sha256(config).hexdigest()
    single = folder.parents[1] / "cjs" / "checkpoints" / "direct"
    with pytest.raises(PolicyError, match="chooses no levels"):
        full_abr_name(f"policy:{single}")
    with pytest.raises(PolicyError, match="no rule 'cjs/direct'"):
        full_abr_name("policy:cjs/direct")
