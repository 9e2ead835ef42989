"""The transfer matrix on a few short traces, and its differences against a case by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from experiments.abr import cells, transfer  # noqa: E402
from experiments.abr.transfer import Cell, lines  # noqa: E402

LADDER = [300, 750, 1200]
RULES = ["robust-mpc:horizon=2", "bba"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder as `train_all` takes it."""
    rng = np.random.default_rng(1)
    vehicles = ("bus", "car", "ferry", "metro", "train", "tram")
    names = [f"train-127/{one}.1" for one in vehicles] + [f"train-127/trace_{n}" for n in range(3)]
    names += [f"puffer-train/p{n}" for n in range(3)]
    names += [f"test/{place}/t{n}" for place in ("road", "home") for n in range(3)]
    for name in names:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rates = rng.uniform(0.4, 3.0, 40)
        file.write_text("".join(f"{second}\t{rate:.3f}\n" for second, rate in enumerate(rates)))
    (tmp_path / "data" / "videos").mkdir()
    manifest = {
        "name": "envivio",
        "segment_duration_ms": 4000,
        "bitrates_kbps": LADDER,
        "segment_sizes_bits": [[kbps * 4000 for kbps in LADDER]] * 6,
    }
    (tmp_path / "data" / "videos" / "envivio.json").write_text(json.dumps(manifest))
    return tmp_path / "data"


def test_from_training_to_the_tables(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = (Cell("mobile", "road", "envivio"), Cell("broadband", "home", "envivio"))
    monkeypatch.setattr(transfer, "SEEDS", (1,))
    monkeypatch.setattr(transfer, "CELLS", there)
    monkeypatch.setattr(transfer, "rules", lambda: RULES)
    monkeypatch.setattr(sys, "argv", ["transfer", str(data), str(tmp_path / "out"), "--tiny"])
    transfer.main()
    shown = capsys.readouterr().out
    assert "| road (mobile) | broadband |" in shown
    assert "| home (broadband) | mobile |" in shown
    stored = json.loads((tmp_path / "out" / "transfer.json").read_text())
    best = max(np.mean(transfer.qoe_of(rule, *_played(data, "road"))) for rule in RULES)
    assert np.mean(stored["road envivio"]["rule here"]) == pytest.approx(best)
    assert not list((tmp_path / "out").glob("*.part.safetensors"))


def _played(data: Path, place: str):  # type: ignore[no-untyped-def]
    from policy.tasks.abr.bandwidth import find_bandwidths
    from policy.tasks.abr.video import read_video

    video = read_video(data / "videos" / "envivio.json")
    return video, find_bandwidths(str(data / "test" / place))


def test_differences_by_hand(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SEEDS", (1, 2))
    own = {
        "net mobile": np.array([0.5, 0.6, 0.7]),
        "net mobile 1": np.array([0.4, 0.5, 0.6]),
        "net mobile 2": np.array([0.6, 0.7, 0.8]),
        "net broadband": np.array([0.4, 0.5, 0.6]),
        "rule mobile": np.array([0.45, 0.55, 0.65]),
        "rule broadband": np.array([0.1, 0.1, 0.1]),
        "rule here": np.array([0.8, 0.8, 0.8]),
    }
    shown = list(lines(data, {Cell("broadband", "home", "envivio"): own}))
    assert shown[2].startswith("| home (3), envivio | 0.600 (0.500 to 0.700) | 0.500 |")
    found = next(line for line in shown if "(broadband)" in line)
    assert found.split(" | ")[1:4] == [
        "mobile",
        "+0.100 [+0.100, +0.100]",
        "+0.050 [+0.050, +0.050]",
    ]
    assert "-0.200 [-0.300, -0.100]" in found


def test_cells_against_the_best_rule_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cells, "SETS", ("road",))
    monkeypatch.setattr(cells, "VIDEOS", ("envivio",))
    monkeypatch.setattr(cells, "MPC", ("robust-mpc:horizon=2",))
    played = cells.play_rules(data, ("road", "envivio"))
    assert set(played) == {"robust-mpc:horizon=2", "oracle-mean"}
    mpc = np.array(played["robust-mpc:horizon=2"])
    judged = tmp_path / "judged.json"
    judged.write_text(json.dumps({"qoe": {"net": {"road": {"envivio": (mpc + 0.25).tolist()}}}}))
    monkeypatch.setattr(sys, "argv", ["cells", str(data), str(judged), "--network", "net"])
    cells.main()
    shown = capsys.readouterr().out
    assert "+0.250 [+0.250, +0.250]" in shown
    assert "net: better in 1 of 1 cells" in shown
