"""The NumPy types are the C structures of the datapath, member by member."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from agent import layout
from agent.ebpf.loader import FOLDER
from agent.layout import HEADER_BYTES, RECORD

# C structure of each type, and the path inside it of members that are nested there.
STRUCTURES = {
    "RECORD": ("record", "measurement."),
    "OPEN_RECORD": ("record", "identity."),
    "FLOW": ("flow", "identity."),
    "COMMAND": ("command", ""),
    "CONTROL": ("control", ""),
    "COUNTERS": ("counters", ""),
}
NOT_IN_C = {"length", "page_offset", "reserved", "reserved_port", "padding"}
HEADS = {"at_ns", "slot", "generation", "kind", "flags", "ca_state", "live", "open_ns"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """{type: (size, {member: offset})} as the C compiler sees them."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    lines = []
    for name, (structure, nested) in STRUCTURES.items():
        dtype = getattr(layout, name)
        lines.append(f'printf("[\\"{name}\\", %zu, {{", sizeof(struct {structure}));')
        members = [field for field in dtype.names if field not in NOT_IN_C]
        for index, field in enumerate(members):
            path = field if field in HEADS else nested + field
            comma = "," if index else ""
            lines.append(
                f'printf("{comma}\\"{field}\\": %zu", offsetof(struct {structure}, {path}));'
            )
        lines.append('puts("}]");')
    folder = tmp_path_factory.mktemp("layout")
    source = '#include <stddef.h>\n#include <stdio.h>\n#include "shared.h"\nint main(void) {\n'
    (folder / "layout.c").write_text(source + "\n".join(lines) + "\n}\n")
    subprocess.run(
        [compiler, "-w", "-I", FOLDER, "layout.c", "-o", "layout"], cwd=folder, check=True
    )
    printed = subprocess.run([folder / "layout"], check=True, capture_output=True, text=True).stdout
    return {name: (size, members) for name, size, members in map(json.loads, printed.splitlines())}


@pytest.mark.parametrize("name", STRUCTURES)
def test_sizes_and_offsets(compiled, name):
    dtype = getattr(layout, name)
    size, offsets = compiled[name]
    header = HEADER_BYTES if name.endswith("RECORD") else 0
    assert dtype.itemsize == header + size
    assert offsets == {
        field: dtype.fields[field][1] - header for field in dtype.names if field not in NOT_IN_C
    }


def test_join_keeps_records_and_order():
    parts = [np.zeros(2, RECORD), np.zeros(1, RECORD)]
    parts[0]["slot"], parts[1]["slot"] = [1, 2], [3]
    assert layout.join(parts)["slot"].tolist() == [1, 2, 3]
    assert layout.join([parts[0][::2]])["slot"].tolist() == [1]
    assert len(layout.join([])) == 0
