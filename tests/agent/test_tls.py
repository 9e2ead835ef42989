"""The agent's client and the real server over TCP: TLS, bearer token, and what is said where they
do not fit.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from agent.batch import WINDOW, Batch, Opened
from agent.client import PolicyClient
from agent.config import AgentConfig
from agent.layout import RECORD
from agent.tcpinfo import probe
from bench.fault_route import make_certificate

WINDOW_NS = 100_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates and tokens, right and wrong ones."""
    made = tmp_path_factory.mktemp("tls")
    for name in ("own", "foreign"):
        make_certificate(made / f"{name}.pem", made / f"{name}.key", "DNS:localhost")
    (made / "own.token").write_text("0123456789abcdef-own\n")
    (made / "foreign.token").write_text("0123456789abcdef-foreign\n")
    return made


@pytest.fixture(scope="module")
def address(folder):
    config = folder / "server.json"
    settings = {"listen": "localhost:0", "difficult": None, "token_file": f"{folder}/own.token"}
    config.write_text(
        json.dumps(settings | {"tls_cert": f"{folder}/own.pem", "tls_key": f"{folder}/own.key"})
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "policy", str(config)], stdout=subprocess.PIPE, text=True
    )
    with server:
        yield server.stdout.readline().split()[1]
        server.terminate()


@contextlib.contextmanager
def client_of(folder, address, ca="own", token="own"):
    config = AgentConfig(
        cc_name="tbtls",
        log_dir=folder,
        server=address,
        tls_ca=folder / f"{ca}.pem",
        token_file=folder / f"{token}.token",
        policy="gcc",
    )
    client = PolicyClient(config)
    try:
        yield client
    finally:
        client.close()


def first_event(client, wait_for):
    seen = []
    wait_for(lambda: seen.extend(client.events()) or seen, "event")
    return seen[0][1:]


def test_windows_are_answered_over_tls(folder, address, wait_for):
    open_ns = time.monotonic_ns() - 2 * WINDOW_NS
    records = np.zeros(3, RECORD)
    records["slot"], records["generation"], records["kind"], records["mss_bytes"] = 1, 1, 2, 1448
    records["at_ns"] = open_ns + np.arange(1, 4) * 20_000_000
    records["delivered_bytes"] = records["acked_bytes"] = np.arange(1, 4) * 14480
    records["rtt_us"] = records["srtt_us"] = records["min_rtt_us"] = 40_000
    window = np.array([(1, 1, 0, open_ns + WINDOW_NS, 0, open_ns + WINDOW_NS)], WINDOW)
    with client_of(folder, address) as client:
        wait_for(lambda: client.connected, "welcome")
        client.send(Batch([Opened(1, 1, open_ns, 40000)], [], records, window), 0)
        (answers,) = wait_for(client.receive, "answer")
    assert answers.tier.tolist() == ["gcc"]
    assert answers.window.tolist() == [0]
    assert (answers.pacing_rate_bps > 0).all()


def test_a_wrong_token_is_said(folder, address, wait_for):
    with client_of(folder, address, token="foreign") as client:
        event, detail = first_event(client, wait_for)
        assert not client.connected
    assert (event, detail) == ("server-refused", "UNAUTHENTICATED: a valid bearer token is needed")


def test_a_certificate_of_another_authority_is_said(folder, address, wait_for):
    with client_of(folder, address, ca="foreign") as client:
        event, detail = first_event(client, wait_for)
        assert not client.connected
    assert event == "server-refused"
    assert detail.startswith(f"no connection to {address}: its certificate does not satisfy tls_ca")
    assert "self-signed" in detail


def test_why_there_is_no_connection(folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert probe.why(f"127.0.0.1:{port}", None, 0.2) == "it does not answer"
        assert probe.why(f"127.0.0.1:{port}", folder / "own.pem", 0.2) == "it does not answer"
    assert probe.why(f"127.0.0.1:{port}", None, 0.2) == "Connection refused"
    assert probe.why(f"unix:{tmp_path}/none", None, 0.2) == "No such file or directory"
