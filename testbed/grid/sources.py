"""The source traces of a grid: found, generated, scaled where too fast, and written where the
runs find them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

from testbed.errors import UserError
from testbed.grid.axes import Generated
from traces.bundled import index as bundled
from traces.generators import generate
from traces.library import load, trace_name
from traces.model import Trace
from traces.parquet import write_parquet

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
IMPORTED = "imported"
"""Family of the traces in the user's library."""


@dataclass(frozen=True)
class Source:
    """A trace, the family that results are told apart by (its generator, or the folder of its
    file), and by what factor its rates were scaled.
    """

    trace: Trace
    family: str
    scale: float = 1.0

    @property
    def name(self) -> str:
        """Unique in a dataset."""
        return self.trace.name


def resolve_sources(
    entries: Sequence[str | Generated], max_mean_rate_bps: float | None
) -> list[Source]:
    """All source traces that the entries name; faster ones are scaled down to that mean.

    Raises UserError for a pattern without files, for two traces of one name, and for two that carry
    the same: they could end up in different splits. Raises TraceError for a trace that cannot be
    read.
    """
    sources = [source for entry in entries for source in _sources_of(entry)]
    seen: dict[str, str] = {}
    for source in sources:
        for key in (source.name, _content(source.trace)):
            if key in seen:
                raise UserError(
                    f"traces: {source.name} and {seen[key]} have the same name or the same "
                    "capacity; leave one out"
                )
        seen |= {source.name: source.name, _content(source.trace): source.name}
    return [_scaled(source, max_mean_rate_bps) for source in sources]


def _scaled(source: Source, limit_bps: float | None) -> Source:
    mean_bps = source.trace.mean_bps()
    if limit_bps is None or mean_bps <= limit_bps:
        return source
    factor = limit_bps / mean_bps
    return replace(source, trace=source.trace.scaled(factor), scale=factor)


def write_sources(sources: Sequence[Source], folder: Path) -> dict[str, str]:
    """Write the traces; returns the file of each by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for source in sources:
        path = folder / f"{source.name}.parquet"
        write_parquet(source.trace, path)
        paths[source.name] = str(path.resolve())
    return paths


def _sources_of(entry: str | Generated) -> Iterator[Source]:
    if isinstance(entry, Generated):
        family = entry.name or entry.generate
        for seed in entry.seeds:
            name = f"{family}-seed{seed}"
            trace = generate(entry.generate, seed, entry.duration_ns / 1e9, entry.parameters, name)
            yield Source(trace, family)
    elif entry in bundled():
        yield Source(load(entry), bundled()[entry].generator)
    elif any(character in entry for character in "*?[") or Path(entry).is_file():
        pattern = str(Path(entry).expanduser())
        # Path.glob takes no absolute patterns.
        paths = sorted(Path(path) for path in glob(pattern, recursive=True))  # noqa: PTH207
        files = [path for path in paths if path.is_file()]
        if not files:
            raise UserError(f"traces: {entry!r} meets no file")
        for path in files:
            family = _UNSAFE.sub("-", path.resolve().parent.name)
            name = _UNSAFE.sub("-", f"{family}.{trace_name(path)}")
            yield Source(replace(load(path), name=name), family)
    else:
        yield Source(load(entry), IMPORTED)


def _content(trace: Trace) -> str:
    """Digest of what a trace carries, whatever its name."""
    form = trace.steps or trace.opportunities
    digest = hashlib.sha256(str(trace.period_ns).encode())
    for column in vars(form).values():
        digest.update(b"" if column is None else column.tobytes())
    return digest.hexdigest()
