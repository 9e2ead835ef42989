"""`tbtest serve`: options become settings."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from policy.errors import PolicyError
from policy.server.config import ServerConfig
from testbed.cli.serve import serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerConfig]:
    """The settings of each server that would have been run."""
    configs: list[ServerConfig] = []
    monkeypatch.setattr("policy.__main__.run", configs.append)
    return configs


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(serve, arguments, catch_exceptions=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"difficult": "auto", "light": "persistence", "metrics": None}),
        (["--tiers", "none", "--policy", "aimd"], {"difficult": None, "light": "aimd"}),
        (
            ["--tiers", "gru,mlp", "--model", "m"],
            {"difficult": "gru", "tiers": ("mlp",), "models": {"gru": "m"}},
        ),
        (
            ["--model", "m", "--device", "cpu"],
            {"difficult": "llm", "models": {"llm": "m"}, "device": "cpu"},
        ),
        (["--listen", "unix:/x", "--metrics", "9100"], {"listen": "unix:/x", "metrics": 9100}),
    ],
)
def test_options(
    served: list[ServerConfig], arguments: list[str], expected: dict[str, object]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert {key: getattr(served[0], key) for key in expected} == expected


def test_options_win_over_the_file(served: list[ServerConfig], tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("light: aimd\ndevice: cuda\n")
    invoke("--config", str(path), "--device", "cpu")
    assert (served[0].light, served[0].device) == ("aimd", "cpu")


def test_mistakes_name_the_setting(served: list[ServerConfig]) -> None:
    result = invoke("--listen", "0.0.0.0:7443")
    assert isinstance(result.exception, PolicyError)
    assert "needs tls_cert, tls_key and token_file" in str(result.exception)
    assert served == []
