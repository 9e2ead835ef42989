"""Checkpoints that wait to be judged, as files: processes that judge follow those that train."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


def file_name(run: str) -> str:
    """A run's name as that of a file, without its ending."""
    return run.replace("/", "+")


def record_file(out: Path, run: str) -> Path:
    """Where a campaign's run is recorded."""
    return out / "runs" / f"{file_name(run)}.json"


@dataclass(frozen=True)
class Item:
    """One thing to find out of one checkpoint. `run`: the run's name; `point`: of a few-shot curve,
    its share and way; `part`: `look`, or the closed loop.
    """

    order: int
    run: str
    folder: str
    part: str
    row: str
    seed: int
    point: tuple[float, str] | None = None

    @property
    def name(self) -> str:
        point = f"+{self.point[0]:g}-{self.point[1]}" if self.point else ""
        return f"{self.order:05d}+{file_name(self.run)}{point}+{self.part}"


class Queue:
    """OUT/waiting, in their order; who renames a file into OUT/claimed has it; what was found lies
    in OUT/judged.
    """

    def __init__(self, out: Path) -> None:
        self._waiting, self._claimed, self._judged = (
            out / name for name in ("waiting", "claimed", "judged")
        )
        for folder in (self._waiting, self._claimed, self._judged):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, item: Item) -> None:
        part = self._claimed / f"{item.name}.part"
        part.write_text(json.dumps(asdict(item)))
        part.rename(self._waiting / item.name)

    def take(self) -> Item | None:
        """The first that nobody has; None if there is none."""
        for file in sorted(self._waiting.iterdir()):
            try:
                claimed = file.rename(self._claimed / file.name)
            except FileNotFoundError:
                continue
            found = json.loads(claimed.read_text())
            return Item(**found | {"point": tuple(found["point"]) if found["point"] else None})
        return None

    def __len__(self) -> int:
        return len(list(self._waiting.iterdir()))

    def done(self, item: Item, found: object) -> None:
        file = self._judged / f"{item.name}.json"
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(item) | {"found": found}))
        part.rename(file)
