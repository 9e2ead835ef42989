"""Where in an eBPF object file the name and the flags of its congestion controller lie.

They are data of the section `.struct_ops`. The ELF section headers say where that section lies in
the file; the object's BTF, which libbpf reads, says what lies where in it (linux/btf.h).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.ebpf import libbpf

SECTION = b".struct_ops"
OPS = b"tcp_congestion_ops"
_KIND_STRUCT, _KIND_DATASEC = 4, 15
_TYPE = struct.Struct("=III")  # struct btf_type: name_off, info, size or type
_MEMBER = struct.Struct("=III")  # struct btf_member and btf_var_secinfo have three words too


@dataclass(frozen=True)
class Controller:
    """The one controller of an object: its variable's name, and offsets into the file.

    flags_at: None where the structure has no flags.
    """

    variable: str
    name_at: int
    flags_at: int | None


def linked_later(elf: bytes) -> bytes:
    """The object with `.struct_ops.link` called `.struct_ops`: libbpf before 1.2 knows no other
    name, and links are made here.
    """
    return elf.replace(SECTION + b".link\0", SECTION + b"\0link\0")


def find(elf: bytes) -> Controller:
    """The controller in an object that `linked_later` returned. Raises ValueError if there is not
    exactly one.
    """
    data_at = _section_offset(elf)
    opened = libbpf.BpfObject(elf)
    try:
        btf = _Btf(opened)
        section = btf.find(SECTION, _KIND_DATASEC)
        ops = btf.find(OPS, _KIND_STRUCT)
        if data_at is None or section is None or ops is None:
            raise ValueError("it holds no struct tcp_congestion_ops in a section .struct_ops")
        variables = [(kind, at) for kind, at, _ in btf.words(section)]
        if len(variables) != 1 or btf.type_of(variables[0][0]) != ops:
            raise ValueError(
                f"it holds {len(variables)} struct_ops; one struct tcp_congestion_ops is wanted"
            )
        variable, at = variables[0]
        members = {btf.string(name): bits // 8 for name, _, bits in btf.words(ops)}
        start = data_at + at
        flags = members.get("flags")
        return Controller(
            btf.name(variable), start + members["name"], None if flags is None else start + flags
        )
    finally:
        opened.close()


def _section_offset(elf: bytes) -> int | None:
    """Where in the file the section's data begin; None without. Raises ValueError if it is no
    64-bit ELF.
    """
    try:
        if elf[:6] != b"\x7fELF\x02\x01":
            raise ValueError("it is no 64-bit little-endian ELF file")
        (headers_at,) = struct.unpack_from("<Q", elf, 0x28)
        size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
        headers = [
            struct.unpack_from("<IIQQQQ", elf, headers_at + size * index) for index in range(count)
        ]
        names_at = headers[names_index][4]
        for name, _, _, _, offset, _ in headers:
            start = names_at + name
            if elf[start : elf.index(b"\0", start)] == SECTION:
                return int(offset)
    except (struct.error, IndexError) as error:
        raise ValueError(f"it is a damaged ELF file ({error})") from None
    return None


class _Btf:
    """The object's BTF, as libbpf holds it."""

    def __init__(self, opened: libbpf.BpfObject) -> None:
        self._lib = libbpf.library()
        self._btf = opened.btf()

    def find(self, name: bytes, kind: int) -> int | None:
        """Number of the type of that name."""
        number = int(self._lib.btf__find_by_name_kind(self._btf, name, kind)) if self._btf else -1
        return number if number > 0 else None

    def string(self, offset: int) -> str:
        """A name by its offset."""
        return bytes(self._lib.btf__name_by_offset(self._btf, offset)).decode()

    def _head(self, number: int) -> tuple[int, int, int, int]:
        """(address, name offset, info, size or type)."""
        address = int(self._lib.btf__type_by_id(self._btf, number))
        return (address, *_TYPE.unpack(ctypes.string_at(address, _TYPE.size)))

    def name(self, number: int) -> str:
        """The type's own name."""
        return self.string(self._head(number)[1])

    def type_of(self, number: int) -> int:
        """The type of a variable."""
        return self._head(number)[3]

    def words(self, number: int) -> Iterator[tuple[int, int, int]]:
        """The three words of every member of a structure, or of every variable of a section."""
        address, _, info, _ = self._head(number)
        raw = ctypes.string_at(address + _TYPE.size, (info & 0xFFFF) * _MEMBER.size)
        yield from _MEMBER.iter_unpack(raw)
