"""The Python of docs/guide/cjs.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

GUIDE = Path(__file__).parents[4] / "docs" / "guide" / "cjs.md"


def test_the_guides_python_prints_a_mean_completion_time(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(compile(code, str(GUIDE), "exec"), {})
    assert float(capsys.readouterr().out) > 2_000
