"""Kinds and options: mistakes name the option, its value and what is possible."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from testbed.errors import UserError
from testbed.traffic import kind, kind_names
from testbed.traffic.base import FlowSpec, argv, parse_options
from testbed.traffic.video.options import VideoOptions

SPEC = {
    "flow": 7,
    "kind": "bulk",
    "tcp_congestion": "bbr",
    "sender_address": "10.0.0.1",
    "receiver_address": "10.0.1.1",
    "seed": 1,
    "options": {},
    "log_dir": "/tmp",
}


@pytest.mark.parametrize("name", kind_names())
def test_every_kind_is_complete(name: str) -> None:
    found = kind(name)
    assert found.name == name
    # Options without a default are what a user must say.
    fields = found.options_model.model_fields
    needed = {key: "true" for key, field in fields.items() if field.is_required()}
    assert parse_options(found, needed) == found.options_model.model_validate(needed)
    assert argv(found, "sender", Path("x.json"))[-3:] == [found.module, "sender", "x.json"]
    for key, field in found.options_model.model_fields.items():
        assert field.description, key


def test_an_unknown_kind_is_named_with_the_known() -> None:
    with pytest.raises(
        UserError, match="flow 'telnet': unknown traffic kind; known: video, bulk, onoff"
    ):
        kind("telnet")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "video",
            {"fsp": 30},
            r"video traffic: unknown option 'fsp'; did you mean fps\?; known: fps, gop_frames, ",
        ),
        ("bulk", {"size": 1}, r"bulk traffic: unknown option 'size'; known: none"),
        ("video", {"fps": 0}, r"video traffic: option fps = 0: .*greater than or equal to 1"),
        ("video", {"fps": "many"}, r"option fps = 'many': .*integer"),
        ("video", {"drop": 1}, r"option drop = 1: .*less than 1"),
        (
            "video",
            {"min_bps": 2e6},
            r"^video traffic: start_bps must lie between min_bps 2e\+06 and max_bps 2e\+07$",
        ),
        ("onoff", {"mean_on_s": 0}, r"onoff traffic: option mean_on_s = 0: "),
        ("onoff", {"mean_off_s": float("nan")}, r"onoff traffic: option mean_off_s = nan: "),
    ],
)
def test_mistakes_in_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_options(kind(name), options)


def test_video_defaults_are_those_of_the_comparison() -> None:
    options = VideoOptions()
    assert (options.fps, options.gop_frames, options.keyframe_ratio) == (30, 30, 4)
    assert (options.min_bps, options.max_bps) == (150e3, 20e6)
    assert (options.rise, options.rise_interval_ms, options.drop, options.drop_backlog_ms) == (
        0.08,
        200,
        0.85,
        150,
    )
    assert options.jitter_buffer_ms == 100


def test_a_flows_ports_follow_its_number() -> None:
    spec = FlowSpec.model_validate(SPEC)
    assert (spec.sender_port, spec.receiver_port) == (40_007, 5_007)
    assert FlowSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    "change",
    [{"flow": -1}, {"flow": 1000}, {"tcp_congestion": "x" * 16}, {"more": 1}, {"seed": -1}],
)
def test_impossible_flows_are_refused(change: dict) -> None:
    with pytest.raises(ValidationError):
        FlowSpec.model_validate({**SPEC, **change})


@pytest.mark.parametrize("name", kind_names())
def test_every_option_is_documented_with_its_default(name: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "traffic.md").read_text(
        encoding="utf-8"
    )
    (section,) = [part for part in text.split("\n## ") if part.startswith(f"{name}\n")]
    cells = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    rows = {cell[1].strip(): cell[2].strip() for cell in cells}
    for key, field in kind(name).options_model.model_fields.items():
        assert f"`{key}`" in rows, key
        shown = rows[f"`{key}`"]
        if field.is_required():
            assert shown == "needed"
        elif field.default is None:
            assert shown == "none"
        else:
            assert (shown if isinstance(field.default, str) else float(shown)) == field.default
