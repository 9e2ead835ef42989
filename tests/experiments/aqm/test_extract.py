"""Functions of a kernel tree are taken out of it by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.aqm.source import extract
from testbed.errors import UserError

_TEXT = """\
struct first {
\tu32 length; /* with a comment; */
}; /* small, please */

struct second {
\tint of;
};

static bool is_long(const struct first *first,
\t\tu32 than)
{
\tif (first->length) {
\t\treturn true;
\t}
\treturn false;
}
static int after(void)
{
\treturn 1;
}
"""


def test_a_function_and_a_structure_end_where_they_end() -> None:
    function = extract._function(_TEXT, "is_long")
    assert function.startswith("static bool is_long(const")
    assert function.endswith("return false;\n}\n\n")
    assert extract._structure(_TEXT, "first").endswith("comment; */\n};\n")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone is not where Linux"):
        extract._function(_TEXT, "gone")
    with pytest.raises(UserError, match=r"sch_pie\.c: No such file or directory; give a kernel"):
        extract.kernel_functions(tmp_path)
