"""``tbtest abr simulate`` from end to end, and its one-line errors."""

import json

import pytest
from click.testing import CliRunner

from policy.errors import PolicyError
from policy.tasks.abr.evaluate import mean_ci95, policy_names
from testbed.cli.abr import abr


@pytest.fixture
def files(tmp_path):
    (tmp_path / "traces").mkdir()
    for index, rate in enumerate([0.5, 1.0, 2.0, 3.0]):
        lines = "".join(f"{second}\t{rate}\n" for second in range(100))
        (tmp_path / "traces" / f"t{index}").write_text(lines)
    ladder = [300, 750, 1200]
    manifest = {
        "name": "test",
        "segment_duration_ms": 4000,
        "bitrates_kbps": ladder,
        "segment_sizes_bits": [[kbps * 4000 for kbps in ladder]] * 20,
    }
    (tmp_path / "video.json").write_text(json.dumps(manifest))
    return ["--traces", str(tmp_path / "traces"), "--video", str(tmp_path / "video.json")]


def run(*arguments: str):
    return CliRunner().invoke(abr, ["simulate", *arguments])


def test_one_row_a_policy_with_paired_differences(files):
    policies = ["bba", "robust-mpc:horizon=3,factor=.9"]
    result = run(*files, "--policies", ",".join(policies), "--baseline", "bba", "--json")
    rows = json.loads(result.output)
    assert [row["policy"] for row in rows] == policies
    assert [row["n"] for row in rows] == [4, 4]
    assert rows[0]["difference"] is None
    assert rows[1]["difference"] == pytest.approx(rows[1]["qoe"] - rows[0]["qoe"])
    low, high = rows[1]["difference_ci95"]
    assert low <= rows[1]["difference"] <= high


@pytest.mark.parametrize("model", ["pensieve", "session", "tcp"])
def test_the_table_is_printed_for_every_model(files, model):
    result = run(*files, "--model", model, "--qoe", "log")
    assert result.exit_code == 0
    assert "robust-mpc" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "best"], "no policy 'best'"),
        (["--baseline", "mpc"], "the baseline mpc"),
        (["--start-level", "3"], "the top level is 2"),
        (["--qoe", "quality"], "has no quality"),
    ],
)
def test_mistakes_are_named(files, arguments, message):
    error = run(*files, *arguments).exception
    assert isinstance(error, PolicyError)
    assert message in str(error)


def test_options_keep_their_commas():
    assert policy_names("bba,mpc:horizon=8,factor=.9,rate") == [
        "bba",
        "mpc:horizon=8,factor=.9",
        "rate",
    ]


def test_slices_of_one_recording_count_once():
    """Ten equal slices of one recording do not narrow the interval."""
    values = [0.0, 1.0, 2.0]
    names = ["a", "b", "c"]
    import numpy as np

    alone = mean_ci95(np.array(values), names)
    sliced = mean_ci95(np.repeat(values, 10), [name for name in names for _ in range(10)])
    assert sliced == pytest.approx(alone)
    assert mean_ci95(np.array([1.0, 2.0]), ["a", "b"]) is None
