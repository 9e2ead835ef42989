"""Code blocks of the README and the guides."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]
ALL_PAGES = sorted(
    file
    for file in ROOT.rglob("*.md")
    if not {".venv", ".git", "build"} & set(file.relative_to(ROOT).parts)
)


def blocks(page: Path, language: str) -> list[str]:
    """What the page's fenced blocks of this language hold, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Each command of the page's shell blocks, without empty lines and comments."""
    whole = (block.replace("\\\n", " ") for block in blocks(page, "sh"))
    lines = [line for block in whole for line in block.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def file_name(block: str) -> str | None:
    """The name in a block's first line, such as `# my_policy.py`."""
    found = re.match(r"# (\S+\.\w+)\n", block)
    return found[1] if found else None
