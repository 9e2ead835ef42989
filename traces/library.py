"""Finding, reading and writing traces by name or file: the bundled set, the user's own library, and
any file.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from plugins import place
from traces.bundled import index
from traces.errors import TraceError
from traces.formats import FORMATS, detect_format, format_named
from traces.formats.base import TraceFormat
from traces.formats.hints import looks_like
from traces.formats.seconds_mbit import samples
from traces.formats.source import Source, read_bytes, text_source
from traces.forms import Float64s
from traces.model import Trace
from traces.names import check_name, is_name, name_from
from traces.parquet import MAGIC, read_parquet, write_parquet

_SUFFIXES = (".gz", ".parquet", ".mahimahi", ".json", ".csv", ".txt")


def user_library() -> Path:
    """The folder of imported traces: $XDG_DATA_HOME/tbtest/traces."""
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "tbtest" / "traces"


def library_file(name: str) -> Path:
    """The file of the trace of that name in the user's library, whether it is there or not. Raises
    TraceError.
    """
    return user_library() / f"{check_name(name)}.parquet"


def imported_names() -> list[str]:
    """The names of the traces that the user imported."""
    return sorted(path.stem for path in user_library().glob("*.parquet"))


def trace_name(path: Path) -> str:
    """The file's name without the suffixes of trace files: `ATT-LTE-driving.down.gz` ->
    `ATT-LTE-driving.down`.

    What may not be in the name of a trace becomes `_`. What is read from a pipe is called `pipe`.
    """
    name = path.name
    while (
        stripped := next((name[: -len(s)] for s in _SUFFIXES if name.endswith(s)), name)
    ) != name and stripped:
        name = stripped
    return "pipe" if path.exists() and not path.is_file() else name_from(name)


def find(path_or_name: str | Path) -> Path:
    """The file of a trace. A bundled or imported name wins over a file of that name; `./name` is
    always the file.

    Raises TraceError.
    """
    text = str(path_or_name)
    if isinstance(path_or_name, str) and is_name(text):
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


def other_direction(path_or_name: str | Path) -> Path:
    """The file of the same recording's other direction: `ATT-LTE-driving.up` beside
    `ATT-LTE-driving.down`, as Mahimahi's recordings are named. Raises TraceError.
    """
    path = find(path_or_name)
    for here, there in (("down", "up"), ("up", "down")):
        renamed = re.sub(rf"(?<=[._-]){here}(link)?(?=[._-]|$)", rf"{there}\1", path.name)
        if renamed != path.name:
            other = path.with_name(renamed)
            if not other.exists():
                raise TraceError(f"{other}: the other direction of {path.name} is not there")
            return other
    raise TraceError(
        f"{path}: its name does not tell a direction; pairs are named name.down and name.up"
    )


@dataclass(frozen=True)
class TraceFile:
    """A trace as read: from which file, in which format, and in words what the file holds that the
    model does not.

    `sha256` is of the bytes of the file.
    """

    trace: Trace
    path: Path
    format: str
    notes: Sequence[str] = ()
    sha256: str = ""


def load(path_or_name: str | Path, format: str | None = None) -> Trace:
    """The trace of a bundled or imported name, or of a file or pipe.

    The format is found by content unless it is given: a name of `traces.formats.FORMATS`, or
    `path/to/file.py:Class` for the user's own, which runs that file. Raises TraceError that names
    the file, the line or element, and the remedy.
    """
    return read_trace_file(path_or_name, format).trace


def read_trace_file(path_or_name: str | Path, format: str | None = None) -> TraceFile:
    """`load`, with what is worth knowing about the file. Raises TraceError."""
    path = find(path_or_name)
    chosen = None if format in (None, "parquet") else format_named(str(format))
    # A pipe can be read only once.
    raw = read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    if format == "parquet" or (chosen is None and raw.startswith(MAGIC)):
        trace = read_parquet(path if path.is_file() else BytesIO(raw))
        return TraceFile(trace, path, "parquet", sha256=digest)
    source = text_source(path, raw)
    chosen = chosen or detect_format(source.text)
    if chosen is None:
        hint = looks_like(source.text)
        raise source.error(
            "",
            f"is of no known trace format ({', '.join(known.name for known in FORMATS)}); "
            + (hint or "`tbtest traces formats` describes them"),
        )
    return TraceFile(
        _read(chosen, source, trace_name(path)), path, chosen.name, source.notes, digest
    )


def read_samples(path_or_name: str | Path) -> tuple[Float64s, Float64s]:
    """Times in seconds and rates in Mbit/s of `seconds Mbit/s` text, as they stand there:
    float64[n] each.

    For simulators with a rule of their own for what a sample describes. Raises TraceError.
    """
    path = find(path_or_name)
    source = text_source(path, read_bytes(path))
    _, times_s, rates_mbps = samples(source)
    return times_s, rates_mbps


def _read(chosen: TraceFormat, source: Source, name: str) -> Trace:
    try:
        trace = chosen.read(source, name)
    except TraceError as error:
        if str(error).startswith(source.name):
            raise
        raise source.error("", str(error)) from None
    except Exception as error:
        if chosen in FORMATS:
            raise
        where = place(error, inspect.getfile(type(chosen)))
        raise source.error(
            "", f"{where}: {chosen.name}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(trace, Trace):
        raise source.error(
            "", f"format {chosen.name}: read() gives {type(trace).__name__}, not a traces.Trace"
        )
    return trace


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


def check_new_name(name: str, overwrite: bool = False) -> Path:
    """The file in the user's library that a trace of this name would have. Raises TraceError if it
    may not.
    """
    if name in index():
        raise TraceError(f"{name} is the name of a bundled trace; choose another with --name")
    path = library_file(name)
    if path.exists() and not overwrite:
        raise TraceError(
            f"{name} is in the library already; choose another --name, or --overwrite it"
        )
    return path


def add_to_library(trace: Trace, provenance: Mapping[str, object], overwrite: bool = False) -> Path:
    """Keep `trace` in the user's library under its name. Returns its file. Raises TraceError."""
    path = check_new_name(trace.name, overwrite)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
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


def _format_for(path: Path) -> TraceFormat:
    name = path.name.removesuffix(".gz")
    for known in FORMATS:
        if known.suffix and name.endswith(known.suffix):
            return known
    raise TraceError(
        f"{path}: its suffix names no format that can be written; use "
        f"{', '.join(known.suffix for known in FORMATS if known.suffix)} or .parquet, or name "
        "the format"
    )
