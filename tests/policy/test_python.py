"""A user's folder may hold files named like the project's packages and its libraries."""

import re
import subprocess
from pathlib import Path

import pytest

import policy
from policy.python import python_command

ROOT = Path(policy.__file__).parents[1]
PACKAGES = ("agent", "analysis", "plugins", "policy", "testbed", "topologies", "traces")
NAMES = ("agent", "policy", "testbed", "traces", "numpy", "grpc", "json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files say so when they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text('raise SystemExit("the file of the folder ran")')
    return tmp_path


@pytest.mark.parametrize("module", ["agent", "policy", "policy.worker", "testbed"])
def test_files_of_the_working_folder_are_never_imported(folder: Path, module: str) -> None:
    ended = subprocess.run(
        python_command(module), cwd=folder, capture_output=True, text=True, check=False
    )
    assert "the file of the folder ran" not in ended.stdout + ended.stderr
    # It got as far as reading its arguments, of which there are none.
    assert re.search(r"usage|missing|arguments", ended.stdout + ended.stderr, re.IGNORECASE)


def test_the_folder_would_be_taken_otherwise(folder: Path) -> None:
    unsafe = [part for part in python_command("agent") if part != "-P"]
    ended = subprocess.run(unsafe, cwd=folder, capture_output=True, text=True, check=False)
    assert "the file of the folder ran" in ended.stderr


def test_no_other_place_starts_python() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    places = {
        str(path.relative_to(ROOT)) for path in sources if "sys.executable" in path.read_text()
    }
    assert places == {"policy/python.py"}
