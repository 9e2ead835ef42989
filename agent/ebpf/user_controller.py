"""A user's own congestion controller: an eBPF object with one `tcp_congestion_ops`, for one run.

The object is loaded as it is, but for two entries of its structure: the name becomes one of the
run's own, so that two runs never meet, and TCP_CONG_NON_RESTRICTED is cleared, so that only sockets
of root can choose it. Where the kernel has links of struct_ops (6.4 and later) the registration
ends with the process that made it, however that ends; before, a pin in bpffs says what to
unregister.
"""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from agent.ebpf import bpffs, libbpf, struct_ops
from agent.errors import AgentError

SUFFIXES = (".bpf.c", ".bpf.o")
INCLUDE = Path(__file__).parent / "include"
"""Holds `tbtest_bpf.h`, for users' sources."""
_COMPILER = (
    "clang",
    "-O2",
    "-g",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-Wall",
    "-Werror=implicit-function-declaration",
)
_COMPILE_S = 60.0
_LAST_LINES = 12
_NAME_BYTES = 16
_NON_RESTRICTED = 1  # TCP_CONG_NON_RESTRICTED


def read_object(path: Path) -> bytes:
    """The object in a `.bpf.o`, or of a `.bpf.c`, which is compiled. Raises AgentError, with the
    compiler's words.
    """
    try:
        if path.name.endswith(SUFFIXES[0]):
            path.open("rb").close()
            return _compiled(path)
        if path.name.endswith(SUFFIXES[1]):
            return path.read_bytes()
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}") from None
    raise AgentError(f"{path}: the name of a controller's file ends in {' or '.join(SUFFIXES)}")


def _compiled(path: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tbtest-bpf-") as folder:
        out = Path(folder) / "controller.bpf.o"
        includes = [f"-I{place}" for place in (INCLUDE, INCLUDE.parent, _system_headers())]
        try:
            done = subprocess.run(
                [*_COMPILER, *includes, "-c", str(path), "-o", str(out)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMPILE_S,
                check=False,
            )
        except FileNotFoundError:
            raise AgentError(
                f"{path}: clang, which compiles it, is not installed; apt-get install clang "
                "libbpf-dev, or give a .bpf.o"
            ) from None
        except subprocess.TimeoutExpired:
            raise AgentError(f"{path}: clang took longer than {_COMPILE_S:.0f} s") from None
        if done.returncode:
            raise AgentError(f"{path}: clang refuses it:\n{_last_lines(done.stderr)}")
        return out.read_bytes()


def _system_headers() -> Path:
    """Where Debian keeps the headers of this architecture (asm/types.h)."""
    return Path(f"/usr/include/{platform.machine()}-linux-gnu")


def check(elf: bytes, path: Path) -> None:
    """Have the kernel's verifier look at an object; registers nothing. Raises AgentError with the
    verifier's words.
    """
    renamed, _ = _renamed(elf, "tbcheck", path)
    opened = _opened(renamed, path)
    try:
        _load(opened, path)
    finally:
        opened.close()


class UserController:
    """A controller that is registered, until `close`."""

    def __init__(self, elf: bytes, cc_name: str, path: Path, pin_dir: Path) -> None:
        """Load and register it.

        Args:
            elf: the object.
            cc_name: at most 15 characters, its TCP_CONGESTION name, unique on the host.
            path: the user's file, for messages.
            pin_dir: a folder in bpffs, made only where the kernel has no links.

        Raises:
            AgentError: the object is no controller or the kernel refuses it.
        """
        renamed, variable = _renamed(elf, cc_name, path)
        self._pins: Path | None = None
        self._link: int | None = None
        try:
            self._link = _register_linked(renamed, variable, path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise AgentError(f"{path}: {error.strerror or error}") from None
            self._pins = pin_dir
            _register_pinned(renamed, variable, path, pin_dir)

    def close(self) -> None:
        """Unregister it. Sockets that still use it keep it until they are closed."""
        if self._link is not None:
            os.close(self._link)
            self._link = None
        if self._pins is not None:
            bpffs.clean(self._pins)
            self._pins = None


def _register_linked(elf: bytes, variable: str, path: Path) -> int:
    """Returns the link's descriptor. Raises OSError with EINVAL where the kernel has no links."""
    opened = _opened(elf, path)
    try:
        opened.set_map_flags(variable, libbpf.BPF_F_LINK)
        _load(opened, path, linked=True)
        link = opened.register(variable, link=True)
        assert link is not None
        os.set_inheritable(link, False)
        return link
    finally:
        opened.close()


def _register_pinned(elf: bytes, variable: str, path: Path, folder: Path) -> None:
    bpffs.make(folder)
    opened = _opened(elf, path)
    try:
        _load(opened, path)
        fd = opened.map_fd(variable)
        try:
            libbpf.pin(fd, folder / "struct_ops")
            opened.register(variable, link=False)
        finally:
            os.close(fd)
    except BaseException as error:
        bpffs.clean(folder)
        if isinstance(error, OSError):
            raise AgentError(f"{path}: {error.strerror or error}") from None
        raise
    finally:
        opened.close()


def _renamed(elf: bytes, cc_name: str, path: Path) -> tuple[bytes, str]:
    """The object under that name and restricted, and the variable that holds its controller."""
    name = cc_name.encode()
    if not 1 <= len(name) < _NAME_BYTES:
        raise AgentError(f"congestion control name {cc_name!r}: 1 to 15 characters are allowed")
    elf = struct_ops.linked_later(elf)
    try:
        found = struct_ops.find(elf)
    except (ValueError, OSError) as error:
        raise AgentError(f"{path}: not an eBPF congestion controller: {error}") from None
    patched = bytearray(elf)
    patched[found.name_at : found.name_at + _NAME_BYTES] = name.ljust(_NAME_BYTES, b"\0")
    if found.flags_at is not None:
        patched[found.flags_at] &= ~_NON_RESTRICTED  # the lowest byte of a little-endian word
    return bytes(patched), found.variable


def _opened(elf: bytes, path: Path) -> libbpf.BpfObject:
    try:
        return libbpf.BpfObject(elf)
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror or error}") from None


def _load(opened: libbpf.BpfObject, path: Path, *, linked: bool = False) -> None:
    """Raises AgentError with the verifier's last lines; with `linked` OSError (EINVAL) where the
    kernel knows no links.
    """
    with libbpf.warnings() as complaints:
        try:
            opened.load()
        except OSError as error:
            said = "".join(complaints)
            if linked and error.errno == errno.EINVAL and "PROG LOAD LOG" not in said:
                raise
            raise AgentError(
                f"{path}: the kernel refuses it:\n{_last_lines(said) or error.strerror}"
            ) from None


def _last_lines(text: str) -> str:
    """The last lines of a log, where the reason is, without what libbpf says about its own part."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    ends = [index for index, line in enumerate(lines) if "END PROG LOAD LOG" in line]
    if ends:  # of the verifier's log; what libbpf says after it is that loading failed
        lines = lines[: ends[0]]
        lines = [line for line in lines if not line.startswith(("processed ", "-- "))]
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
