"""A program's output within bounds."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.traffic.command import output
from testbed.traffic.command.output import BoundedOutput, drain


@settings(max_examples=60)
@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=30))
def test_the_beginning_and_the_end_are_kept(tmp_path_factory, chunks: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("output") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "KEPT_BYTES", 32)
        kept = BoundedOutput(path)
        for chunk in chunks:
            kept.write(chunk)
        kept.close()
    whole = b"".join(chunks)
    found = path.read_bytes()
    assert kept.total_bytes == len(whole)
    if len(whole) <= 64:
        assert found == whole
    else:
        assert found.startswith(whole[:32])
        assert found.endswith(whole[-32:])
        assert f"... {len(whole) - 64} bytes are left out ...".encode() in found
        assert len(found) < 64 + 60


def test_the_last_line_that_says_something(tmp_path: Path) -> None:
    kept = BoundedOutput(tmp_path / "out")
    assert kept.last_line() == "no output"
    kept.write(b"first\nlast \xff\n\n  \n")
    assert kept.last_line() == "last �"
    kept.close()


def test_a_flood_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "FLOOD_BYTES", 100_000)
    read_end, write_end = os.pipe()

    def write() -> None:
        for _ in range(200):
            try:
                os.write(write_end, bytes(1000))
            except BrokenPipeError:
                break
        os.close(write_end)

    writer = threading.Thread(target=write)
    writer.start()
    kept = BoundedOutput(tmp_path / "out")
    assert not drain(read_end, kept)
    assert 100_000 < kept.total_bytes <= 200_000
    os.close(read_end)
    writer.join()
    kept.close()
