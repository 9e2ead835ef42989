"""Agents as processes of a run: ready, replaced, gone with the scope."""

import time
from pathlib import Path

import pytest

from agent import spawn
from agent.config import AgentConfig
from testbed.errors import UserError
from testbed.system.scope import Scope

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def registered():
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def test_an_agent_lives_as_long_as_its_scope(tmp_path):
    config = AgentConfig(cc_name=spawn.new_cc_name(), log_dir=tmp_path / "cell")
    with Scope(state_dir=tmp_path / "state") as scope:
        agent = spawn.start(scope, config)
        assert (agent.cc_name, agent.tier) == (config.cc_name, "ebpf")
        assert config.cc_name in registered()
    assert config.cc_name not in registered()
    assert not config.pins.exists()
    assert (tmp_path / "cell" / "acks.parquet").exists()


def test_what_a_killed_agent_leaves_ends_with_the_scope(tmp_path, network):
    config = AgentConfig(cc_name=spawn.new_cc_name(), log_dir=tmp_path / "cell")
    with Scope(state_dir=tmp_path / "state") as scope:
        dead = spawn.start(scope, config)
        network.flow(config.cc_name)
        time.sleep(0.3)
        dead.process._popen.kill()
        dead.process._popen.wait()
        assert spawn.restart(scope, dead).cc_name == config.cc_name
    assert not config.pins.exists()
    assert not list((tmp_path / "cell").glob("*.arrows"))


def test_a_name_that_is_taken_is_said(tmp_path):
    with (
        Scope(state_dir=tmp_path / "state") as scope,
        pytest.raises(UserError, match=r"cubic.*another cc_name"),
    ):
        spawn.start(scope, AgentConfig(cc_name="cubic", log_dir=tmp_path / "cell", tier="ebpf"))
    assert not AgentConfig(cc_name="cubic", log_dir=tmp_path).pins.exists()
