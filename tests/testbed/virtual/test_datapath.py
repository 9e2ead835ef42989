"""The datapath as modules of a guest's kernel: what an agent sees of a flow, and what it
commands.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.layout import Kind
from testbed.virtual import guest
from testbed.virtual.kernel import Kernel

INSIDE = Path(__file__).with_name("datapath_inside.py")
CWND_PACKETS, RATE_BPS, SENT_BYTES = 7, 800_000_000, 2_000_000


@pytest.mark.timeout(120)
def test_an_agent_sees_every_ack_and_commands(cached: Kernel, tmp_path: Path) -> None:
    for name in ("job", "results", "kept"):
        (tmp_path / name).mkdir()
    for module in cached.modules:
        shutil.copy(module, tmp_path / "job")
    init = tmp_path / "init"
    shutil.copy(Path(guest.__file__).with_name("init.sh"), init)
    init.chmod(0o755)
    start = guest.start_script(
        {**guest.environment(os.environ), "PYTHONPATH": str(Path.cwd())},
        [sys.executable, str(INSIDE), *map(str, (CWND_PACKETS, RATE_BPS, SENT_BYTES))],
        Path.cwd(),
    )
    (tmp_path / "job" / "start").write_text(start)
    booted = subprocess.run(
        guest.command(cached, memory_mib=512), cwd=tmp_path, capture_output=True, check=False
    )
    result = tmp_path / "results" / "found.json"
    assert result.exists(), booted.stdout.decode(errors="replace")[-2000:]
    found = json.loads(result.read_text())

    assert (found["name"], found["kernel"]) == ("module", "bbr")
    assert found["opened"] == [Kind.OPEN, 0]
    # The command takes effect at the first ACK, and then is what the socket has.
    assert found["commanded"] == found["acks"] > 10
    assert found["cwnds"] == [CWND_PACKETS] == [found["socket_cwnd"]]
    assert found["rates_bps"] == [RATE_BPS]
    assert found["in_order"]
    assert SENT_BYTES <= found["acked_bytes"] <= SENT_BYTES + 1  # the SYN counts as one
    assert (found["of_strangers"], found["refused"]) == (0, 0)
    assert found["after_silence"] == [0]
    assert "another agent has this name" in found["second_agent"]
    assert found["closed"] == Kind.CLOSE
    assert found["after_close"] == errno.ENOENT
    assert found["takeover"] == {"adopted": True, "slots": 4, "ring": 4096, "afresh": True}
