"""A policy server of an experiment's own, and a model of random weights for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    address: str
    pid: int


@contextmanager
def policy_server(folder: Path, settings: dict[str, Any]) -> Iterator[Served]:
    """`python -m policy` with these settings on a socket in `folder`, its log beside it; ended on
    leaving.

    Raises:
        ClickException: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"unix:{folder}/policy.sock"
    config, log = folder / "server.json", folder / "server.log"
    config.write_text(json.dumps({"log": "warning"} | settings | {"listen": address}))
    with log.open("w") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "policy", str(config)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert server.stdout is not None
        if not server.stdout.readline().startswith("ready "):
            raise click.ClickException(
                f"the policy server did not start: {log.read_text()[-6000:]}"
            )
        yield Served(address, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def random_checkpoint(folder: Path, layers: int) -> Path:
    """A checkpoint of the `llm` tier with the default backbone's shape, random weights and so many
    blocks.
    """
    from policy.model import checkpoint
    from policy.model.config import BackboneConfig, LoraConfig, ModelConfig
    from policy.model.model import PolicyModel

    backbone = BackboneConfig(pretrained=False, layers=layers, lora=LoraConfig(rank=0))
    model = PolicyModel(ModelConfig(backbone=backbone))
    checkpoint.save(folder, model, card="Random weights, for measuring time.\n", training={})
    return folder
