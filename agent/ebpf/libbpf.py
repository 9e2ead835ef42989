"""The few functions of libbpf that loading a struct_ops controller takes, through ctypes."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from agent.errors import AgentError

BPF_F_LINK = 1 << 13
_BPF_STRUCT_OPS = 44  # enum bpf_attach_type

_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_WARNING = 0  # enum libbpf_print_level
_LINE_BYTES = 1 << 16  # a verifier's log is one message
_listening: list[list[str]] = []


def _hear(level: int, text: bytes, arguments: int | None) -> int:
    """Keep libbpf's warnings for who listens; nothing of libbpf's goes to stderr."""
    if level == _WARNING and _listening:
        buffer = ctypes.create_string_buffer(_LINE_BYTES)
        ctypes.CDLL(None).vsnprintf(
            buffer, ctypes.c_size_t(_LINE_BYTES), ctypes.c_char_p(text), ctypes.c_void_p(arguments)
        )
        _listening[-1].append(buffer.value.decode(errors="replace"))
    return 0


_print = _PRINT(_hear)


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What libbpf warns of meanwhile, the verifier's log among it."""
    heard: list[str] = []
    _listening.append(heard)
    try:
        yield heard
    finally:
        _listening.remove(heard)


_pointer, _int, _string = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_PROTOTYPES: dict[str, tuple[object, list[object]]] = {
    "libbpf_set_print": (_pointer, [_pointer]),
    "libbpf_minor_version": (ctypes.c_uint32, []),
    "bpf_object__open_mem": (_pointer, [_pointer, ctypes.c_size_t, _pointer]),
    "bpf_object__load": (_int, [_pointer]),
    "bpf_object__close": (None, [_pointer]),
    "bpf_object__find_map_by_name": (_pointer, [_pointer, _string]),
    "bpf_map__fd": (_int, [_pointer]),
    "bpf_map__set_map_flags": (_int, [_pointer, ctypes.c_uint32]),
    "bpf_map__set_max_entries": (_int, [_pointer, ctypes.c_uint32]),
    "bpf_map__attach_struct_ops": (_pointer, [_pointer]),
    "bpf_link__fd": (_int, [_pointer]),
    "bpf_link_create": (_int, [_int, _int, _int, _pointer]),
    "bpf_map_update_elem": (_int, [_int, _pointer, _pointer, ctypes.c_uint64]),
    "bpf_map_delete_elem": (_int, [_int, _pointer]),
    "bpf_obj_pin": (_int, [_int, _string]),
    "bpf_obj_get": (_int, [_string]),
    "bpf_object__btf": (_pointer, [_pointer]),
    "btf__find_by_name_kind": (ctypes.c_int32, [_pointer, _string, ctypes.c_uint32]),
    "btf__type_by_id": (_pointer, [_pointer, ctypes.c_uint32]),
    "btf__name_by_offset": (_string, [_pointer, ctypes.c_uint32]),
    "bpf_obj_get_info_by_fd": (_int, [_int, _pointer, _pointer]),
}


@cache
def library() -> ctypes.CDLL:
    """libbpf 1.x with its prototypes set. Raises AgentError where it is not installed."""
    try:
        loaded = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise AgentError(
            f"libbpf.so.1 cannot be loaded ({error}); install it: apt-get install libbpf1"
        ) from None
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.libbpf_set_print(ctypes.cast(_print, ctypes.c_void_p))
    return loaded


def _check(result: int | None, what: str) -> int:
    if result is None or result < 0:
        number = ctypes.get_errno() or -(result or 0)
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


class BpfObject:
    """An eBPF object file, opened from memory and loaded into the kernel."""

    def __init__(self, elf: bytes) -> None:
        self._elf = ctypes.create_string_buffer(elf, len(elf))
        self._object = library().bpf_object__open_mem(self._elf, len(elf), None)
        if not self._object:
            raise OSError(ctypes.get_errno(), "the eBPF object cannot be opened")

    def _map(self, name: str) -> int:
        found = library().bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            raise OSError(2, f"the eBPF object has no map {name}")
        return int(found)

    def btf(self) -> int | None:
        """The object's BTF, for libbpf's btf__ functions; None without."""
        found: int | None = library().bpf_object__btf(self._object)
        return found

    def set_map_flags(self, name: str, flags: int) -> None:
        """Flags of the map, before load()."""
        _check(library().bpf_map__set_map_flags(self._map(name), flags), name)

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size of the map, before load()."""
        _check(library().bpf_map__set_max_entries(self._map(name), entries), name)

    def load(self) -> None:
        """Verify and load. Raises OSError with the kernel's reason."""
        _check(library().bpf_object__load(self._object), "loading the eBPF object")

    def map_fd(self, name: str) -> int:
        """A descriptor of the map that outlives the object."""
        return os.dup(_check(library().bpf_map__fd(self._map(name)), name))

    def register(self, name: str, *, link: bool) -> int | None:
        """Register the struct_ops map `name`. Returns the link's descriptor, or None without
        BPF_F_LINK.

        libbpf before 1.2 only stores the structure and knows no struct_ops links: there the link is
        made here.
        """
        lib = library()
        attached = lib.bpf_map__attach_struct_ops(self._map(name))
        if not attached:
            number = ctypes.get_errno()
            raise OSError(number, f"registering the congestion controller: {os.strerror(number)}")
        if not link:
            return None
        if lib.libbpf_minor_version() >= 2:
            return os.dup(_check(lib.bpf_link__fd(attached), "the struct_ops link"))
        created = lib.bpf_link_create(lib.bpf_map__fd(self._map(name)), 0, _BPF_STRUCT_OPS, None)
        return _check(created, "registering the congestion controller")

    def close(self) -> None:
        """Free libbpf's side; maps live on by their descriptors and pins."""
        library().bpf_object__close(self._object)
        self._object = None


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("type", "id", "key_size", "value_size", "max_entries", "map_flags")
    ]
    value_size: int
    max_entries: int
    map_flags: int


def map_info(fd: int) -> tuple[int, int, int]:
    """(value size in bytes, number of entries, flags) of a map."""
    info = _MapInfo()
    length = ctypes.c_uint32(ctypes.sizeof(info))
    _check(
        library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(length)), "map info"
    )
    return info.value_size, info.max_entries, info.map_flags


def pin(fd: int, path: Path) -> None:
    """Give a map or link a name in bpffs."""
    _check(library().bpf_obj_pin(fd, str(path).encode()), f"pinning {path}")


def get(path: Path) -> int:
    """Open a pinned map or link."""
    return _check(library().bpf_obj_get(str(path).encode()), f"opening {path}")


def push(fd: int, value: int) -> None:
    """Append a 32-bit value to a queue map."""
    word = ctypes.c_uint32(value)
    _check(library().bpf_map_update_elem(fd, None, ctypes.byref(word), 0), "queue map")


def update(fd: int, key: int, value: bytes) -> None:
    """Write one entry of an array map."""
    word = ctypes.c_uint32(key)
    _check(library().bpf_map_update_elem(fd, ctypes.byref(word), value, 0), "array map")


def put(fd: int, key: int, value: int) -> None:
    """Write one entry of a hash map of 64-bit keys and 32-bit values."""
    key_word, value_word = ctypes.c_uint64(key), ctypes.c_uint32(value)
    _check(
        library().bpf_map_update_elem(fd, ctypes.byref(key_word), ctypes.byref(value_word), 0),
        "hash map",
    )


def unregister(struct_ops_fd: int) -> None:
    """Unregister a controller that was registered without a link (kernels before 6.4)."""
    zero = ctypes.c_uint32(0)
    _check(library().bpf_map_delete_elem(struct_ops_fd, ctypes.byref(zero)), "unregistering")
