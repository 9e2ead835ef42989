"""Finding, reading and writing traces by name or file: the bundled set, the user's own library, and
any file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traces.bundled import index
from traces.errors import TraceError
from traces.formats import FORMATS, detect_format, format_named
from traces.formats.base import TraceFormat
from traces.formats.source import read_source
from traces.model import Trace
from traces.parquet import MAGIC, read_parquet, write_parquet

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIXES = (".gz", ".parquet", ".mahimahi", ".json", ".csv", ".txt")


def user_library() -> Path:
    """The folder of imported traces: $XDG_DATA_HOME/tbtest/traces."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "tbtest" / "traces"


def imported_names() -> list[str]:
    """The names of the traces that the user imported."""
    return sorted(path.stem for path in user_library().glob("*.parquet"))


def trace_name(path: Path) -> str:
    """The file's name without the suffixes of trace files: `ATT-LTE-driving.down.gz` ->
    `ATT-LTE-driving.down`.
    """
    name = path.name
    while (
        stripped := next((name[: -len(s)] for s in _SUFFIXES if name.endswith(s)), name)
    ) != name and stripped:
        name = stripped
    return name


def find(path_or_name: str | Path) -> Path:
    """The file of a trace. A bundled or imported name wins over a file of that name; `./name` is
    always the file.

    Raises TraceError.
    """
    text = str(path_or_name)
    if isinstance(path_or_name, str) and _NAME.fullmatch(text):
        if text in index():
            return index()[text].path
        imported = user_library() / f"{text}.parquet"
        if imported.is_file():
            return imported
    path = Path(text).expanduser()
    if path.is_dir():
        raise TraceError(f"{text}: is a folder; name one trace file in it")
    if not path.exists():
        close = difflib.get_close_matches(text, known := [*index(), *imported_names()], n=1)
        hint = (
            f"did you mean {close[0]}?"
            if close
            else f"bundled and imported traces: {', '.join(known)}"
        )
        raise TraceError(f"{text}: no such trace, by name or by file; {hint}")
    return path


@dataclass(frozen=True)
class TraceFile:
    """A trace as read: from which file, in which format, and in words what the file holds that the
    model does not.
    """

    trace: Trace
    path: Path
    format: str
    notes: Sequence[str] = ()


def load(path_or_name: str | Path, format: str | None = None) -> Trace:
    """The trace of a bundled or imported name, or of a file. Its format is found by content unless
    it is given.

    Raises TraceError that names the file, the line or element, and the remedy.
    """
    return read_trace_file(path_or_name, format).trace


def read_trace_file(path_or_name: str | Path, format: str | None = None) -> TraceFile:
    """`load`, with what is worth knowing about the file. Raises TraceError."""
    path = find(path_or_name)
    if format == "parquet" or (format is None and _is_parquet(path)):
        return TraceFile(read_parquet(path), path, "parquet")
    chosen = None if format is None else format_named(format)
    source = read_source(path)
    chosen = chosen or detect_format(source.text)
    if chosen is None:
        raise source.error(
            "",
            f"is of no known trace format ({', '.join(known.name for known in FORMATS)}); see "
            "docs/guide/traces.md",
        )
    try:
        return TraceFile(chosen.read(source, trace_name(path)), path, chosen.name, source.notes)
    except TraceError as error:
        if str(error).startswith(source.name):
            raise
        raise source.error("", str(error)) from None


def save(trace: Trace, path: Path | str, format: str | None = None) -> None:
    """Write `trace` in the format given or, without one, that of the file's suffix. Raises
    TraceError.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise TraceError(f"{path}: there is no folder {path.parent}")
    try:
        if format == "parquet" or (format is None and path.suffix == ".parquet"):
            write_parquet(trace, path)
        else:
            (format_named(format) if format else _format_for(path)).write(trace, path)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}") from None


def add_to_library(trace: Trace, provenance: Mapping[str, object], overwrite: bool = False) -> Path:
    """Keep `trace` in the user's library under its name. Returns its file. Raises TraceError."""
    if not _NAME.fullmatch(trace.name):
        raise TraceError(
            f"{trace.name!r} cannot be a trace's name: use letters, digits, dots, - and _ (at most "
            "64)"
        )
    if trace.name in index():
        raise TraceError(f"{trace.name} is the name of a bundled trace; choose another with --name")
    path = user_library() / f"{trace.name}.parquet"
    if path.exists() and not overwrite:
        raise TraceError(
            f"{trace.name} is in the library already; choose another --name, or --overwrite it"
        )
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_parquet(trace, partial, provenance)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None


def _format_for(path: Path) -> TraceFormat:
    name = path.name.removesuffix(".gz")
    for known in FORMATS:
        if known.suffix and name.endswith(known.suffix):
            return known
    raise TraceError(
        f"{path}: its suffix names no format that can be written; use "
        f"{', '.join(known.suffix for known in FORMATS if known.suffix)} or .parquet, or name the "
        "format"
    )
