"""Settings: what is wrong is said with its file, key and value."""

import subprocess
import sys
from pathlib import Path

import pytest

from policy.errors import PolicyError
from policy.server.config import ServerConfig, build, read


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"light": "llm"}, "no rule policy 'llm'"),
        ({"difficult": "gpt"}, "no policy 'gpt'"),
        ({"tiers": ["gpt"]}, "no policy 'gpt'"),
        ({"listen": "0.0.0.0:1"}, "is on TCP and needs tls_cert, tls_key and token_file"),
        ({"tls_cert": "c.pem"}, "tls_cert and tls_key go together"),
        ({"metrics": 70000}, "origin: metrics = 70000: "),
        ({"apc": {"loss_on": 2}}, "origin: apc.loss_on = 2: "),
        ({"apc": {"rising_off": 1}}, "rising_off must not be above rising_on"),
        ({"admission": {"max_batch": 0}}, "admission.max_batch"),
        ({"limits": {"flows": 0}}, "limits.flows"),
        ({"colour": "red"}, "origin: unknown key 'colour'; known: "),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError) as info:
        build(settings, "origin")
    assert message in str(info.value)
    assert "\n" not in str(info.value)


def test_a_file_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("light: aimd\ndifficult: null\napc:\n  loss_on: 0.1\n")
    config = read(path, {"light": "hold"})
    assert (config.light, config.difficult, config.apc.loss_on) == ("hold", None, 0.1)
    path.write_text("")
    assert read(path) == ServerConfig()


@pytest.mark.parametrize("text", ["- a\n", "a: [", "\x00"])
def test_files_that_are_no_settings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=r"server\.yaml(:1)?: "):
        read(path)
    with pytest.raises(PolicyError, match="no such file"):
        read(tmp_path / "none.yaml")


def test_the_module_prints_one_line_and_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("light: llm\n")
    done = subprocess.run(
        [sys.executable, "-m", "policy", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no rule policy 'llm'" in done.stderr
