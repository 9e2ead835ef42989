"""A user's controller in eBPF: compiled, renamed, verified, registered, gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ebpf import struct_ops
from agent.ebpf.user_controller import UserController, check, read_object
from agent.errors import AgentError

EXAMPLE = Path(__file__).parents[3] / "examples" / "my_controller.bpf.c"
pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def variant(folder: Path, old: str, new: str) -> Path:
    """The example with `old` replaced."""
    text = EXAMPLE.read_text()
    assert old in text
    file = folder / "mine.bpf.c"
    file.write_text(text.replace(old, new))
    return file


def offered() -> list[str]:
    """Controllers that this kernel lists."""
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


@pytest.mark.parametrize("section", [".struct_ops", ".struct_ops.link"])
def test_it_is_registered_under_the_name_given_until_closed(tmp_path: Path, section: str) -> None:
    file = variant(tmp_path, 'SEC(".struct_ops")', f'SEC("{section}")')
    elf = read_object(file)
    check(elf, file)
    assert "tbuser1" not in offered()
    controller = UserController(elf, "tbuser1", file, Path("/sys/fs/bpf/tbtest-tbuser1"))
    try:
        assert "tbuser1" in offered()
        assert "my_controller" not in offered()
        with pytest.raises(AgentError, match=r"mine\.bpf\.c: "):
            UserController(elf, "tbuser1", file, Path("/sys/fs/bpf/tbtest-tbuser1"))
    finally:
        controller.close()
    assert "tbuser1" not in offered()


def test_the_flags_let_root_alone_choose_it(tmp_path: Path) -> None:
    file = variant(tmp_path, ".name =", ".flags = TCP_CONG_NON_RESTRICTED, .name =")
    found = struct_ops.find(read_object(file))
    assert found.variable == "my_controller"
    assert read_object(file)[found.name_at :].startswith(b"my_controller\0")
    assert found.flags_at is not None
    assert read_object(file)[found.flags_at] == 1


def test_the_compilers_words_are_shown(tmp_path: Path) -> None:
    file = variant(tmp_path, "return tcp_reno_ssthresh(sk);", "return nothing;")
    with pytest.raises(AgentError, match=r"clang refuses it:\n(.*\n)*.*undeclared identifier"):
        read_object(file)


def test_the_verifiers_words_are_shown(tmp_path: Path) -> None:
    bad = "*(volatile u32 *)((char *)sk + 1000000)"
    file = variant(tmp_path, "tp->srtt_us >> 3", bad)
    with pytest.raises(AgentError, match="the kernel refuses it:\n") as info:
        check(read_object(file), file)
    lines = str(info.value).splitlines()
    assert len(lines) <= 13
    assert any("access" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bpf.o", b"text", "no 64-bit little-endian ELF"),
        ("a.bpf.o", b"\x7fELF\x02\x01" + bytes(10), "damaged ELF"),
        ("a.c", b"", r"ends in \.bpf\.c or \.bpf\.o"),
        ("absent.bpf.o", None, "No such file"),
    ],
)
def test_what_is_no_controller(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AgentError, match=message):
        check(read_object(file), file)
