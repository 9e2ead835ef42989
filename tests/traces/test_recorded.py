"""The readers on traces recorded by others, where they are at hand: TBTEST_TRACES, or
../shared/traces.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from traces import load, save

FOLDER = Path(os.environ.get("TBTEST_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no recorded traces in {FOLDER} (set TBTEST_TRACES)"
)


@pytest.mark.parametrize(
    ("folder", "least_mbps", "most_mbps"),
    [
        ("norway-3g", 0.1, 4),
        ("ghent-4g", 10, 60),
        ("fcc-hd", 1, 60),
        ("lumos5g", 1, 1000),
        ("mahimahi", 0.4, 6),
    ],
)
def test_every_file_is_read(folder: str, least_mbps: float, most_mbps: float) -> None:
    files = sorted((FOLDER / folder).iterdir())
    assert files
    for path in files:
        trace = load(path)
        assert least_mbps < trace.mean_bps() / 1e6 < most_mbps, path
        assert trace.period_ns is not None


def test_mahimahi_is_kept_exactly(tmp_path: Path) -> None:
    path = FOLDER / "mahimahi" / "ATT-LTE-driving.down.gz"
    trace = load(path)
    original = gzip.decompress(path.read_bytes()).decode()
    assert trace.opportunities is not None
    assert trace.opportunities.at_ns.tolist() == [
        int(line) * 1_000_000 for line in original.split()
    ]
    save(trace, tmp_path / "copy.mahimahi")
    assert (tmp_path / "copy.mahimahi").read_text() == original
