"""A dataset of labelled sessions from end to end: collected, read, trained on; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from policy.errors import PolicyError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from policy.tasks.abr.bandwidth import find_bandwidths  # noqa: E402
from policy.tasks.abr.commands import collect, train  # noqa: E402
from policy.tasks.abr.learned import load_policy, make_net, save_net  # noqa: E402
from policy.tasks.abr.training import dataset  # noqa: E402
from policy.tasks.abr.training.material import material_of  # noqa: E402

LADDER = [300, 750, 1200]
CHUNKS = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings, one of them also in a test set under another name, and a manifest."""
    folder = tmp_path_factory.mktemp("abr")
    rng = np.random.default_rng(1)
    for place in ("training", "clean", "shared"):
        (folder / place).mkdir()
    for number in range(11):
        rates = rng.uniform(0.4, 3.0, 320)
        text = "".join(f"{second}\t{rate:.3f}\n" for second, rate in enumerate(rates))
        (folder / ("training" if number < 10 else "clean") / f"t{number}").write_text(text)
    shutil.copy(folder / "training" / "t3", folder / "shared" / "elsewhere")
    manifest = {
        "name": "test",
        "segment_duration_ms": 4000,
        "bitrates_kbps": LADDER,
        "segment_sizes_bits": [[kbps * 4000 for kbps in LADDER]] * CHUNKS,
    }
    (folder / "video.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def labels(files: Path) -> Path:
    net = make_net("mlp", 8)
    save_net(net, files / "net.safetensors")
    arguments = ["--traces", str(files / "training"), "--video", str(files / "video.json")]
    arguments += ["--chunks", str(CHUNKS), "--sessions", "12", "--horizon", "3"]
    arguments += ["--network", str(files / "net.safetensors"), "--test", str(files / "clean")]
    done = CliRunner().invoke(
        collect, [*arguments, "--out", str(files / "labels")], catch_exceptions=False
    )
    assert "8 traces played, 2 kept for validation" in done.output
    return files / "labels"


def test_what_was_collected_is_read_again(files: Path, labels: Path) -> None:
    read = dataset.read(labels)
    (batch,) = read.batches
    assert batch.values.shape == (12 * (CHUNKS - 1), len(LADDER))
    assert read.states == len(batch.taken)
    assert read.notes["test"] == "clean"
    assert read.notes["networks"] == "net.safetensors"
    material = material_of(find_bandwidths(str(files / "training")), read.material.videos)
    chooser = load_policy(files / "net.safetensors")
    assert read.material.score(chooser) == pytest.approx(material.score(chooser))
    assert {one.name for one in read.training} == set(material.training.traces.names)


@pytest.mark.parametrize("objective", ["regret", "return"])
def test_a_dataset_is_trained_on(labels: Path, tmp_path: Path, objective: str) -> None:
    out = tmp_path / "net.safetensors"
    arguments = ["--dataset", str(labels), "--out", str(out), "--objective", objective]
    arguments += ["--rounds", "1", "--steps", "3", "--batch", "16", "--width", "8"]
    arguments += ["--starts", "1", "--device", "cpu"]
    CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert (load_policy(out).target is not None) == (objective == "return")


def test_a_recording_of_the_test_set_is_refused(files: Path, labels: Path, tmp_path: Path) -> None:
    """In collecting, and once more where a dataset meets a test set unknown to it."""
    arguments = ["--traces", str(files / "training"), "--video", str(files / "video.json")]
    held = ["--test", str(files / "shared")]
    with pytest.raises(PolicyError, match="t3 and elsewhere; leave them out"):
        CliRunner().invoke(
            collect, [*arguments, *held, "--out", str(tmp_path / "d")], catch_exceptions=False
        )
    assert not (tmp_path / "d").exists()
    with pytest.raises(PolicyError, match="t3 and elsewhere"):
        CliRunner().invoke(
            train,
            ["--dataset", str(labels), "--out", str(tmp_path / "n.safetensors"), *held],
            catch_exceptions=False,
        )


def test_an_existing_folder_is_never_overwritten(files: Path, labels: Path) -> None:
    arguments = ["--traces", str(files / "training"), "--video", str(files / "video.json")]
    with pytest.raises(PolicyError, match="is there already"):
        CliRunner().invoke(collect, [*arguments, "--out", str(labels)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("about.json", None, "cannot be read"),
        ("about.json", b"{}", "about.json: "),
        ("traces.npz", b"PK", "not a NumPy archive"),
        ("sessions-000.npz", {"values": np.zeros((2, 3))}, "no array shared"),
        ("sessions-000.npz", {"values": np.array([None], object)}, "not a NumPy archive"),
    ],
)
def test_damage_is_named(
    labels: Path, tmp_path: Path, file: str, content: object, message: str
) -> None:
    broken = tmp_path / "labels"
    shutil.copytree(labels, broken)
    if isinstance(content, dict):
        np.savez(broken / file, **content)
    elif isinstance(content, bytes):
        (broken / file).write_bytes(content)
    else:
        (broken / file).unlink()
    with pytest.raises(PolicyError, match=message):
        dataset.read(broken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --traces, or --dataset"),
        (["--dataset", "d", "--traces", "t"], "give --traces, or --dataset"),
        (["--dataset", "d", "--video", "v"], "brings its videos"),
        (["--dataset", "nowhere"], "nowhere/about.json: cannot be read"),
    ],
)
def test_mistakes_in_training_are_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        CliRunner().invoke(train, [*arguments, "--out", "n.safetensors"], catch_exceptions=False)
