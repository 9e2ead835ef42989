"""The committed code is what policy.proto says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = ("policy_pb2.py", "policy_pb2.pyi", "policy_pb2_grpc.py")


def without_versions(text: str) -> list[str]:
    """Code lines that do not depend on the generator's version."""
    lines = text.splitlines()
    return [
        line for line in lines if "ersion" not in line and not line.startswith("#") and line.strip()
    ]


def test_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is a development package")
    arguments = [
        "-I.",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
        f"--grpc_python_out={tmp_path}",
    ]
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        *arguments,
        "policy/protocol/policy.proto",
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in NAMES:
        committed = (ROOT / "policy/protocol" / name).read_text()
        generated = (tmp_path / "policy/protocol" / name).read_text()
        assert without_versions(committed) == without_versions(generated), (
            f"{name}: run scripts/protoc.sh"
        )
