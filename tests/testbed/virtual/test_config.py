"""The guest kernel's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.virtual import config
from testbed.virtual.source import newest


def test_a_kernel_with_all_that_is_required_lacks_nothing() -> None:
    text = config.fragment() + f"CONFIG_HZ={config.HZ}\n# CONFIG_SMP is not set\n"
    assert config.lacking(text) == []


def test_what_a_kernel_lacks_is_named() -> None:
    text = config.fragment().replace("CONFIG_TUN=y\n", "# CONFIG_TUN is not set\n")
    assert config.lacking(text + "CONFIG_HZ=100\n") == [f"HZ={config.HZ}", "TUN"]


def test_our_timer_frequency_comes_before_the_kernels_own_default() -> None:
    own = '# top\nmainmenu "Linux"\n\nsource "scripts/Kconfig.include"\n\nsource "init/Kconfig"\n'
    made = config.top_kconfig(own)
    place = made.index(f"config HZ\n\tint\n\tdefault {config.HZ}\n")
    assert made.index("mainmenu") < place < made.index("source ")
    assert made.endswith(own.partition("mainmenu")[2].partition("\n\n")[2])


def test_versions_are_compared_by_number() -> None:
    assert newest(["linux-source-6.9", "linux-source-6.12", "linux-source-6.1"]) == (
        "linux-source-6.12"
    )


def test_the_configuration_is_identified_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config.configuration_sha256()
    assert config.configuration_sha256() == before
    monkeypatch.setattr(config, "HZ", 1000)
    assert config.configuration_sha256() != before


def test_no_option_is_listed_twice() -> None:
    names = [*config.REQUIRED, *config.WISHED]
    assert len(set(names)) == len(names)
    assert not any("_CONFIG" in name or Path(name).name != name for name in names)
