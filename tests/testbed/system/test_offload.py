"""Segmentation offloads off, and read back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from testbed.system.netns import NetNs
from testbed.system.offload import offloads_off, read_offloads
from testbed.system.scope import Scope

pytestmark = pytest.mark.root


def test_a_veth_pair_is_rid_of_its_offloads(tmp_path: Path) -> None:
    with Scope(state_dir=tmp_path / "state") as scope:
        holder = scope.spawn(
            ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], name="ns"
        )
        holder.read_line(5)
        netns = scope.enter(NetNs.of(holder.pid))
        with netns.inside():
            subprocess.run(
                ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=True
            )
        assert read_offloads(netns, "v0")["tx-tcp-segmentation"]
        state = offloads_off(netns, "v0")
        assert {
            "tx-generic-segmentation",
            "tx-tcp-segmentation",
            "tx-udp-segmentation",
            "rx-gro",
        } <= set(state)
        assert not any(state.values())
        assert read_offloads(netns, "v0") == state
        assert read_offloads(netns, "v1")["tx-tcp-segmentation"]
        with netns.inside():
            listed = subprocess.run(
                ["ethtool", "-k", "v0"], check=True, capture_output=True, text=True
            ).stdout
        assert "tcp-segmentation-offload: off" in listed
        assert "generic-segmentation-offload: off" in listed
        assert "generic-receive-offload: off" in listed
