"""Configs are checked, with messages that name file, key and value; the command line says them in
one line.
"""

import json

import pytest

from agent import config
from agent.__main__ import main
from agent.errors import AgentError
from agent.layout import Mode, Wake


def write(tmp_path, **settings):
    path = tmp_path / "agent.json"
    path.write_text(json.dumps({"cc_name": "tb1", "log_dir": str(tmp_path), **settings}))
    return path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cc_name": "much-too-long-a-name"}, ["cc_name", "much-too-long-a-name"]),
        ({"cc_name": "a b"}, ["cc_name"]),
        ({"window_ns": 1}, ["window_ns", "5000000"]),
        ({"colour": "red"}, ["colour"]),
        ({"kernel": "cubic"}, ["kernel: cubic", "observe"]),
        ({"server": "example.org:5"}, ["tls_ca", "unix:"]),
        ({"server": "unix:/x", "token_file": "/t"}, ["token_file", "tls_ca"]),
        ({"ring_bytes": 12288}, ["ring_bytes", "12288"]),
    ],
)
def test_bad_settings_are_named(tmp_path, settings, words):
    path = write(tmp_path, **settings)
    with pytest.raises(AgentError) as error:
        config.read(path)
    assert all(word in str(error.value) for word in [str(path), *words])


def test_control_entry(tmp_path):
    settings = config.read(write(tmp_path, max_rate_bps=8e6, mode="observe", wake="ack"))
    entry = settings.control()[0]
    assert entry["max_pacing_rate_Bps"] == 1_000_000
    assert (entry["mode"], entry["wake"]) == (Mode.OBSERVE, Wake.ACK)
    assert entry["heartbeat_ns"] == 0
    assert entry["cc_name"] == b"tb1"
    assert settings.flavours() == ["bbr", "aimd"]
    assert settings.pins.name == "tbtest-tb1"


@pytest.mark.parametrize("arguments", [[], ["/nonexistent/agent.json"], ["a", "b", "c"]])
def test_the_command_line_fails_with_one_line(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_cleaning_what_is_not_there_is_fine(tmp_path):
    assert main(["clean", str(tmp_path / "nothing")]) == 0
