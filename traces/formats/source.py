"""A trace file's text, read with care, and errors that name their place in it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from traces.errors import TraceError

MAX_BYTES = 256 * 1024 * 1024  # of the text, after decompression
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Source:
    """A file's name (for messages) and its text; `notes` collects what a reader leaves out."""

    name: str
    text: str
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[tuple[int, str]]:
        """(line number, stripped line) of every line that is neither blank nor a `#` comment."""
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                yield number, stripped

    def error(self, place: str, problem: str) -> TraceError:
        """An error at `place` ("line 7", "element 3", or "" for the file as a whole)."""
        return TraceError(
            f"{self.name}, {place}: {problem}" if place else f"{self.name}: {problem}"
        )

    def number(self, value: object, place: str, what: str, low: float, high: float) -> float:
        """`value`, text or JSON, as a finite number within [low, high]. Raises TraceError."""
        not_a_number = self.error(place, f"{what} is {_shown(value)}; a number is needed")
        if not isinstance(value, str | int | float) or isinstance(value, bool) or "_" in str(value):
            raise not_a_number
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        except ValueError:
            raise not_a_number from None
        if math.isnan(number) or not low <= number <= high:
            raise self.error(
                place,
                f"{what} is {_shown(value)}; it must lie between {low:g} and {high:g}; check the "
                "unit",
            )
        return number


def text_source(path: Path, raw: bytes) -> Source:
    """The text that `raw`, the bytes of `path`, is or, if it is gzip, holds. Raises TraceError."""
    if raw.startswith(_GZIP_MAGIC):
        raw = _gunzip(path, raw)
    if len(raw) > MAX_BYTES:
        raise TraceError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; split it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(
            f"{path}: is not text (byte {error.start}); is it a trace at all?"
        ) from None
    if "\0" in text:
        raise TraceError(f"{path}: is not text (byte {text.index(chr(0))}); is it a trace at all?")
    if not text.strip():
        raise TraceError(f"{path}: is empty; a trace needs at least one entry")
    return Source(str(path), text)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file or pipe, read once and to the end, one more than MAX_BYTES at most.
    Raises TraceError.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None


def _gunzip(path: Path, raw: bytes) -> bytes:
    """Decompress all gzip members, never beyond the size bound."""
    text = bytearray()
    while raw:
        inflate = zlib.decompressobj(wbits=31)
        try:
            text += inflate.decompress(raw, MAX_BYTES + 1 - len(text))
        except zlib.error as error:
            raise TraceError(
                f"{path}: the gzip data is damaged ({error}); fetch the file again"
            ) from None
        if len(text) > MAX_BYTES:
            break
        if not inflate.eof:
            raise TraceError(f"{path}: the gzip data ends too early; fetch the file again")
        raw = inflate.unused_data.lstrip(b"\0")  # gzip allows zero padding after a member
    return bytes(text)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
