"""Live chunks held against the models: a case by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.abr.live import download_ms, sessions_of, simulated_qoe
from policy.tasks.abr.network import Model
from testbed.traffic.dash.video import default_video
from tests.analysis.synthetic import CHUNKS, SESSIONS, START_NS, S, SyntheticCell, row, write_run


def test_models_by_hand(tmp_path: Path) -> None:
    video, chunks = default_video(), []
    for number in range(4):
        chunks.append(
            row(
                CHUNKS,
                chunk=number,
                level=1,
                bitrate_kbps=750.0,
                utility=0.75,
                size_bytes=int(video.sizes_bytes[number, 1]),
                request_ns=START_NS + 3 * number * S,
                first_byte_ns=START_NS + 3 * number * S + S // 10,
                last_byte_ns=START_NS + (3 * number + 1) * S,
                buffer_s=4.0,
                throughput_bps=3e6,
                source="rule",
                decision_ns=1,
            )
        )
    session = {"chunk_s": 4.0, "stall_per_s": 4.3, "switch": 1.0, "started_ns": START_NS + S}
    logs = {
        "goodput": [],
        "chunks": chunks,
        "sessions": [row(SESSIONS, **session, abr="bba", ended="stopped", open_stall_s=0.0)],
    }
    flow = {"kind": "dash", "options": {"abr": "bba"}, "stop_ns": START_NS + 20 * S}
    cell = SyntheticCell(logs=logs, flows=(flow,), duration_s=20.0)
    (live,) = sessions_of(write_run(tmp_path / "run", [cell]))
    # 12 Mbit/s, 40 ms there and back.
    bits = video.sizes_bytes[:4, 1] * 8
    assert download_ms(live, Model.SESSION, 1.0) == pytest.approx(40 + bits / 12e6 * 1e3)
    assert download_ms(live, Model.SESSION, 0.5) == pytest.approx(40 + bits / 6e6 * 1e3)
    assert download_ms(live, Model.PENSIEVE, 1.0) == pytest.approx(40 + bits / 12e6 / 0.95 * 1e3)
    # 10, 20, 40 segments before the rate limits; idle for 2 s, it begins anew each time.
    tcp_ms = download_ms(live, Model.TCP, 1.0)
    assert (tcp_ms > download_ms(live, Model.SESSION, 1.0) + 40).all()
    # BBA at 12 Mbit/s: 0, 0 and 1 with 4, 8 s of buffer or so; far above any stall.
    assert 0 < simulated_qoe(live, Model.SESSION, 1.0) < 0.75
