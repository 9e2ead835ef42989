"""Compiled engines: compiled in a process without gRPC, read from the cache beside it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from policy.nioka import checkpoint
from policy.nioka.compiled import prepare
from policy.nioka.errors import ModelError
from policy.nioka.model import PolicyModel
from policy.nioka.tier import VARIANT, load_tier

pytestmark = pytest.mark.torch

IN_A_SERVER = """
import asyncio, sys
import grpc

async def main(folder):
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{folder}/socket")
    await server.start()
    from policy.nioka.tier import load_tier
    tier = load_tier("llm", folder, "cpu")
    from torch._dynamo.utils import counters
    found = counters["inductor"]
    print(tier._engine.variant, found["fxgraph_cache_hit"] > 0, found["fxgraph_cache_miss"])
    await server.stop(0)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path, tiny):
    """A checkpoint of a tiny LLM."""
    checkpoint.save(tmp_path / "m", PolicyModel(tiny(backbone={"layers": 1})), card="", training={})
    return tmp_path / "m"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    "TBTEST_COMPILE" not in os.environ, reason="set TBTEST_COMPILE=1: it compiles for a minute"
)
def test_a_live_server_compiles_nothing_itself(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIANT, "compile-broadcast")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SERVER, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["compile-broadcast", "True", "0"]


def test_an_unknown_variant_is_refused(folder, monkeypatch):
    monkeypatch.setenv(VARIANT, "fastest")
    with pytest.raises(ModelError, match="no engine variant 'fastest'; known: eager, lean"):
        load_tier("llm", folder, "cpu")


def test_a_failed_compilation_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with pytest.raises(ModelError, match=r"(?s)ended with status 1.*is not a checkpoint"):
        prepare(tmp_path / "absent", "cpu", "compile")
