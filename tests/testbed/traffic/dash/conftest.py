"""A network of one pair, and both processes of a dash flow on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import topologies
from testbed.links import backend
from testbed.links.base import Queue
from testbed.network import Bottleneck, Network, build
from testbed.system.scope import Scope
from testbed.traffic import kind
from testbed.traffic.base import FlowSpec, argv
from testbed.units import NS_PER_S
from traces.model import Trace, constant

RATE_BPS = 5e6
# Six levels of up to 5 Mbit/s, chunks of a second: many of them in a short test.
RATES_KBPS = [250, 500, 1000, 2000, 3500, 5000]


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A video of 60 chunks of a second."""
    path = tmp_path / "video.json"
    sizes = [[rate * (900 + 10 * (chunk % 20)) for rate in RATES_KBPS] for chunk in range(60)]
    video = {"name": "test", "segment_duration_ms": 1000, "bitrates_kbps": RATES_KBPS}
    path.write_text(json.dumps({**video, "segment_sizes_bits": sizes}))
    return path


class Session:
    """Both processes of one flow."""

    def __init__(self, scope: Scope, network: Network, folder: Path, **options: Any) -> None:
        folder.mkdir()
        self.folder, self.network = folder, network
        pair = network.pairs[0]
        self.spec = FlowSpec(
            flow=0,
            kind="dash",
            tcp_congestion="cubic",
            sender_address=pair.sender.address,
            receiver_address=pair.receiver.address,
            seed=1,
            options=options,
            log_dir=folder,
        )
        config = scope.tmp / "flow.json"
        config.write_text(self.spec.model_dump_json())
        self.player, self.server = (
            scope.spawn(argv(kind("dash"), role, config), name=role, netns=host.netns)
            for role, host in (("receiver", pair.receiver), ("sender", pair.sender))
        )

    def start(self, duration_s: float) -> int:
        """Await both and start them; returns the start."""
        for process in (self.player, self.server):
            assert process.read_line(60) == "ready"
        start_ns = time.monotonic_ns() + NS_PER_S // 10
        stop_ns = start_ns + round(duration_s * NS_PER_S)
        for link in self.network.links.values():
            link.link.start(start_ns)
        for process in (self.player, self.server):
            process.write_line(json.dumps({"start_ns": start_ns, "stop_ns": stop_ns}))
        return start_ns

    def log(self, name: str) -> pd.DataFrame:
        """The log as it is now."""
        # The player replaces the file while it plays; pyarrow opens a path twice, a buffer never.
        content = (self.folder / f"{name}-0.parquet").read_bytes()
        return pq.read_table(pa.BufferReader(content)).to_pandas()

    def await_chunks(self, count: int) -> None:
        """Until the player has logged so many."""
        deadline = time.monotonic() + 60
        while len(self.log("chunks")) < count:
            assert time.monotonic() < deadline
            self.player.check()
            time.sleep(0.05)


Start = Callable[..., Session]


@pytest.fixture
def session(scope: Scope, tmp_path: Path, manifest: Path) -> Start:
    """Starts both processes: 20 ms there and back, 50 kB of buffer."""

    def start(trace: Trace | None = None, **options: Any) -> Session:
        topology = topologies.create(
            topologies.find("dumbbell"), {"flows": 1, "rtt_ns": 20_000_000}
        )
        bottleneck = Bottleneck(
            trace or constant(RATE_BPS), Queue(limit_bytes=50_000), None, jitter_ns=0, seed=1
        )
        (tmp_path / "links").mkdir()
        network = build(topology, backend("relay"), bottleneck, scope, tmp_path / "links")
        return Session(
            scope, network, tmp_path / "cell", **{"video": str(manifest), "abr": "mpc", **options}
        )

    return start
