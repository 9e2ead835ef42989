"""What a campaign runs, in which order, and how large everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.generalist.families import FAMILIES
from experiments.generalist.rows import ROWS, TASKS

RATES = {"B": 3e-3, "C": 1.5e-3, "E": 7e-4, "E-all": 5e-4, "G": 4e-3}
"""Learning rates by group of rows, found by searches of earlier campaigns for the mean over tasks.
Scheduling alone asks for less: docs/results/generalist.md."""
CLOSED = {
    "congestion": ("congestion",),
    "abr": ("abr", "abr-validation"),
    "cjs": ("cjs",),
}
"""Closed loops of a row, by task; that on validation recordings chooses what ships."""
OTHER_CLUSTERS = ("cjs-generated", "cjs-live")
JUDGED_SHARES = {
    "all": (0.003, 0.01, 0.03, 0.1, 1.0),
    "scratch": (0.01, 0.03, 0.1, 1.0),
    "ends": (0.03, 1.0),
}


@dataclass(frozen=True)
class Plan:
    """How large everything is. `steps`: of every row, of whatever size; `long`: so many times as
    many of rows that end in -long; `few_before`: steps on the other tasks before one that was left
    out; `small`: a smaller graph network; `tested`: samples of a split at most. Closed loops: so
    many `units`, recordings and links, these for `seconds`, and `sequences` of so many `jobs`.
    `rates`: of learning, by group of rows.
    """

    steps: int = 2000
    few_before: int = 800
    few_steps: int = 200
    long: int = 4
    batch: int = 64
    evaluations: int = 8
    validation: int = 1024
    units: int = 60
    seconds: int = 15
    sequences: int = 50
    jobs: int = 20
    shares: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    noise_shares: tuple[float, ...] = (0.01, 0.03, 0.1)
    small: bool = False
    tested: int = 4096
    rates: Mapping[str, float] = field(default_factory=lambda: dict(RATES))


CPU = Plan(
    steps=300,
    few_before=300,
    few_steps=100,
    batch=32,
    validation=256,
    shares=(0.01, 0.1, 1.0),
    small=True,
    tested=1024,
)
TINY = Plan(
    steps=4,
    few_before=2,
    few_steps=2,
    long=2,
    batch=4,
    evaluations=2,
    validation=32,
    units=1,
    seconds=1,
    sequences=1,
    jobs=2,
    shares=(0.01, 1.0),
    noise_shares=(0.01,),
    small=True,
    tested=64,
)


@dataclass(frozen=True)
class Job:
    """One run. `group`: whose learning rate it uses, unless it has a `rate` or needs a search for
    one; `needs`: runs that come before; `family`: of whose samples alone it learns.
    """

    name: str
    kind: str
    row: str
    seed: int
    tasks: tuple[str, ...] = TASKS
    left: str = ""
    noise: bool = False
    family: str = ""
    rate: float | None = None
    needs: tuple[str, ...] = field(default=())

    @property
    def small(self) -> bool:
        """Whether its backbone is a small one, of which a step is short."""
        return bool(ROWS[self.row].model["kind"] != "nioka")

    @property
    def large(self) -> bool:
        """Whether its backbone has hundreds of millions of parameters."""
        return "-qwen-" in self.row

    @property
    def group(self) -> str:
        """Rows whose parameters are of one kind share a learning rate."""
        if self.row in ("C", "E-all"):
            return self.row
        if self.small:
            return "G"
        return "E" if self.row.startswith("E") else "B"


def rows(name: str, seed: int) -> list[Job]:
    """A row's runs of one seed: one, or one for each task."""
    groups = [(task,) for task in TASKS] if ROWS[name].alone else [TASKS]
    return [
        Job(
            f"{name}-{tasks[0]}/{seed}" if ROWS[name].alone else f"{name}/{seed}",
            "row",
            name,
            seed,
            tasks,
        )
        for tasks in groups
    ]


def few(name: str, seed: int, noise: bool = False) -> list[Job]:
    """Each task left out, and then learned from few samples."""
    return [
        Job(
            f"few-{name}@{left}{'-noise' * noise}/{seed}",
            "few",
            name,
            seed,
            left=left,
            noise=noise,
        )
        for left in TASKS
    ]


def families(seed: int) -> list[Job]:
    """A small specialist for each family of each task's sources, and for all of them."""
    return [
        Job(f"family-{task}-{family}/{seed}", "family", "F", seed, (task,), family=family)
        for task in TASKS
        for family in FAMILIES[task]
    ]  # fmt: skip


def merged(seed: int) -> Job:
    """H: the specialists of row A in one, without training."""
    needs = tuple(f"A-{task}/{seed}" for task in TASKS)
    return Job(f"H/{seed}", "merge", "A", seed, needs=needs)


def jobs() -> list[Job]:
    """All runs, the most important first: seeds one after the other, so that a host that is taken
    away leaves whole tables.
    """
    found: list[Job] = []
    for seed in (0, 1, 2):
        for name in ("B", "E", "G-long", "F-long", "C", "A", "G", "F"):
            found += rows(name, seed)
    for seed in (0, 1, 2):
        found += few("B", seed) + few("E", seed) + few("G", seed)
    for seed in (0, 1, 2):
        found += rows("B-rank-8", seed) + rows("B-long", seed)
    for seed in (0, 1, 2):
        for name in ("B-4", "E-4", "B-16", "E-16", "B-30", "E-30"):
            found += rows(name, seed)
    for seed in (0, 1, 2):
        found += rows("B-qwen-0.5b", seed) + rows("E-qwen-0.5b", seed)
    for seed in (0, 1, 2):
        found += families(seed)
    for seed in (0, 1, 2):
        found += [merged(seed), *rows("D", seed), *rows("I", seed)]
        for name in ("B-no-token", "E-no-token", "G-no-token"):
            found += rows(name, seed)
        found += [job for name in "GBE" for job in few(name, seed, noise=True)]
    for seed in (3, 4):
        for name in ("G-long", "G", "F-long", "F", "B", "E", "C", "A", "B-rank-8", "B-no-token"):
            found += rows(name, seed)
    for seed in (0, 1, 2):
        found += rows("E-all", seed) + rows("G-root", seed)
    for seed in (3, 4):
        found += few("G", seed) + few("B", seed) + few("E", seed)
    for seed in (0, 1, 2):
        found += rows("B-qwen-1.5b", seed) + rows("E-qwen-1.5b", seed)
    return found


def chosen(only: Sequence[str]) -> list[Job]:
    """The runs whose names begin so, in the order of the beginnings; all of them without any."""
    if not only:
        return jobs()

    def place(job: Job) -> int:
        return next((n for n, one in enumerate(only) if job.name.startswith(one)), len(only))

    return sorted((job for job in jobs() if place(job) < len(only)), key=place)
