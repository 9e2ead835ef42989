"""A folder's lock, on any file system."""

import os
import threading
import time

import pytest

from agent.__main__ import main
from agent.ebpf import bpffs
from agent.errors import AgentError


def test_clean_waits_for_an_agent_that_is_about_to_be_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(bpffs, "unmount_if_ours", lambda: None)
    monkeypatch.setattr(bpffs, "in_bpffs", lambda path: True)
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
    monkeypatch.setattr(bpffs, "in_bpffs", lambda path: True)
    held = bpffs.lock(tmp_path)
    assert held is not None
    with pytest.raises(AgentError, match="running agent"):
        bpffs.clean(tmp_path)
    os.close(held)
    assert tmp_path.exists()


def test_clean_refuses_any_other_folder(tmp_path, capsys):
    (tmp_path / "id_rsa").write_text("a key")
    assert main(["clean", str(tmp_path)]) == 2
    assert "no folder of pins in a BPF file system" in capsys.readouterr().err
    assert (tmp_path / "id_rsa").read_text() == "a key"


@pytest.mark.root
@pytest.mark.ebpf
def test_clean_refuses_the_whole_of_bpffs():
    folder = bpffs.ROOT / f"tbtest-test-{os.getpid()}"
    bpffs.make(folder)
    try:
        with pytest.raises(AgentError, match="no folder of pins"):
            bpffs.clean(bpffs.ROOT)
        assert folder.is_dir()
    finally:
        assert bpffs.clean(folder)
