"""Sessions in a real browser: dash.js plays over emulated TCP, under its own rules and ours."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.traffic import browser, kind
from testbed.traffic.base import parse_options
from tests.testbed.traffic.dash.conftest import RATE_BPS, Start


def _chromium() -> str | None:
    try:
        return browser.find()
    except UserError:
        return None


needs_chromium = pytest.mark.skipif(_chromium() is None, reason="there is no Chromium here")


@pytest.mark.root
@needs_chromium
@pytest.mark.parametrize("abr", ["mpc", "dash.js"])
def test_a_session_of_twenty_seconds(session: Start, abr: str) -> None:
    run = session(player="chromium", abr=abr, buffer_cap_s=8.0)
    run.start(20.0)
    assert [run.player.wait(60), run.server.wait(60)] == [0, 0]
    chunks, summary, requests = run.log("chunks"), run.log("sessions").iloc[0], run.log("requests")
    assert len(chunks) > 4
    assert (chunks["chunk"] == np.arange(len(chunks))).all()
    assert chunks["source"][0] == "start"
    # dash.js decides itself where an answer comes late; whether one does depends on the machine.
    decided = set(chunks["source"][1:])
    if abr == "mpc":
        assert {"rule"} <= decided <= {"rule", "dash.js"}
    else:
        assert decided == {"dash.js"}
    assert chunks["level"][0] == 1
    assert summary["started_ns"] > chunks["last_byte_ns"][0]  # the element itself played
    assert (chunks["throughput_bps"] < 1.5 * RATE_BPS).all()
    assert (chunks["buffer_s"] <= 8.0 + 1.0).all()
    # The page's times on our clock fit the server's: half a round trip from request to request,
    # but for how exactly the clock is known; a busy machine adds to it.
    first = requests.drop_duplicates("chunk", keep="last").set_index("chunk")["at_ns"]
    way_ns = first.reindex(chunks["chunk"]).to_numpy() - chunks["request_ns"].to_numpy()
    assert 0 < way_ns.min() < 1e9
    assert (chunks["first_byte_ns"] > chunks["request_ns"]).all()
    assert requests["cmcd_br"].max() > 0  # dash.js tells, too
    assert not list(run.folder.glob("profile-*"))


def browsers(profile: Path) -> list[int]:
    """Processes of the browser with this profile, the first one first. Their environment does not
    tell them: Chromium writes over it.
    """
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if f"--user-data-dir={profile}".encode() in line.replace(b"\0", b" "):
            found.append(int(entry.name))
    return sorted(found)


def await_none(profile: Path) -> None:
    deadline = time.monotonic() + 60
    while browsers(profile):
        assert time.monotonic() < deadline, "a browser was left behind"
        time.sleep(0.1)


@pytest.mark.root
@needs_chromium
def test_a_browser_that_is_killed_ends_the_session(session: Start) -> None:
    run = session(player="chromium")
    run.start(60.0)
    run.await_chunks(2)
    profile = run.folder / "profile-0"
    os.kill(browsers(profile)[0], signal.SIGKILL)
    assert run.player.wait(30) == 2
    assert "the browser ended with status -9" in run.player.log.read_text()
    assert len(run.log("chunks")) >= 2
    assert run.log("sessions")["ended"].tolist() == ["stopped"]
    await_none(profile)
    assert not profile.exists()


@pytest.mark.root
@needs_chromium
def test_a_player_that_is_killed_takes_its_browser_along(session: Start) -> None:
    run = session(player="chromium")
    run.start(60.0)
    run.await_chunks(2)
    profile = run.folder / "profile-0"
    assert browsers(profile)
    # What Chromium makes for itself lies here as well, and not in the host's /tmp.
    assert list(profile.glob("org.chromium.*"))
    run.player._send(signal.SIGKILL)
    run.player.wait(60)
    await_none(profile)
    assert len(run.log("chunks")) >= 2


@pytest.mark.root
@needs_chromium
def test_a_stall_is_the_video_elements(session: Start) -> None:
    run = session(player="chromium", buffer_cap_s=3.0)
    run.start(90.0)
    run.await_chunks(4)
    run.server._send(signal.SIGSTOP)
    time.sleep(9)
    before = len(run.log("chunks"))
    run.server._send(signal.SIGCONT)
    # It went on: the chunk that was late, and one more.
    run.await_chunks(before + 2)
    run.player._send(signal.SIGTERM)
    assert run.player.wait(60) == 0
    run.server.stop()
    chunks = run.log("chunks")
    took_s = (chunks["last_byte_ns"] - chunks["request_ns"]) / 1e9
    late = took_s.idxmax()
    assert took_s[late] > 3
    # The buffer of up to 3 s played first. The picture of a busy browser may move again only when
    # the chunk after the late one is there, or not before the end.
    stalled_s = chunks["rebuffer_s"][late:].sum() + run.log("sessions")["open_stall_s"].iloc[0]
    assert stalled_s > 0.5


@pytest.mark.root
@needs_chromium
def test_a_server_that_is_killed_ends_the_session(session: Start) -> None:
    run = session(player="chromium")
    run.start(60.0)
    run.await_chunks(2)
    run.server._send(signal.SIGKILL)
    assert run.player.wait(40) == 0
    assert run.log("sessions")["ended"].tolist() == ["server-gone"]
    assert len(run.log("chunks")) >= 2
    await_none(run.folder / "profile-0")


def test_no_chromium_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"apt-get install chromium .*player set to headless"):
        parse_options(kind("dash"), {"player": "chromium"})


@needs_chromium
def test_chunks_too_small_for_a_picture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(
        '{"name": "v", "segment_duration_ms": 1000, "bitrates_kbps": [1, 2],'
        '"segment_sizes_bits": [[1000, 2000], [1000, 2000], [1000, 2000]]}'
    )
    with pytest.raises(UserError, match="a chunk of 125 bytes holds no picture"):
        parse_options(kind("dash"), {"player": "chromium", "video": str(path), "buffer_cap_s": 2})
