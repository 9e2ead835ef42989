"""A folder's lock, on any file system."""

import os
import threading
import time

import pytest

from agent.ebpf import bpffs
from agent.errors import AgentError


def test_clean_waits_for_an_agent_that_is_about_to_be_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(bpffs, "unmount_if_ours", lambda: None)
    folder = tmp_path / "pins"
    folder.mkdir()
    held = bpffs.lock(folder)
    assert held is not None

    def end() -> None:
        time.sleep(0.1)
        os.close(held)

    ending = threading.Thread(target=end)
    ending.start()
    assert bpffs.clean(folder)
    ending.join()
    assert not folder.exists()


def test_clean_refuses_while_an_agent_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(bpffs, "_EXIT_S", 0.05)
    held = bpffs.lock(tmp_path)
    assert held is not None
    with pytest.raises(AgentError, match="running agent"):
        bpffs.clean(tmp_path)
    os.close(held)
    assert tmp_path.exists()
