"""What a campaign runs, in which order, and how large everything is."""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.generalist.rows import ROWS, TASKS

LEFT_SHARES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
RATES = (5e-4, 1.5e-3, 5e-3)
RATE_SEED = 100
"""No other run has it."""


@dataclass(frozen=True)
class Plan:
    """How large everything is. `small`: a smaller graph network; `tested`: of each split so many
    samples at most.
    """

    steps: int = 800
    rate_steps: int = 250
    few_steps: int = 200
    long: int = 8
    batch: int = 64
    validation: int = 2048
    limit_s: float = 200.0
    sequences: int = 50
    units: int = 60
    shares: tuple[float, ...] = LEFT_SHARES
    small: bool = False
    tested: int | None = None


CPU = Plan(
    steps=300,
    rate_steps=150,
    few_steps=100,
    batch=32,
    validation=256,
    shares=(0.01, 0.1, 1.0),
    small=True,
    tested=1024,
)
TINY = Plan(
    steps=4,
    rate_steps=2,
    few_steps=2,
    long=2,
    batch=4,
    validation=32,
    sequences=1,
    units=1,
    small=True,
    tested=64,
)


@dataclass(frozen=True)
class Job:
    """One run. `group`: whose learning rate it uses; `needs`: runs that come before."""

    name: str
    kind: str
    row: str
    seed: int
    tasks: tuple[str, ...] = TASKS
    rate: float | None = None
    judged: bool = False
    left: str = ""
    noise: bool = False
    needs: tuple[str, ...] = field(default=())

    @property
    def group(self) -> str:
        """Rows whose parameters are of one kind share a learning rate."""
        if self.row in ("C", "E-all"):
            return self.row
        if ROWS[self.row].model["kind"] != "nioka":
            return "G"
        return "E" if self.row.startswith("E") else "B"


def jobs() -> list[Job]:
    """All runs, the most important first."""
    found = [
        Job(f"rate-{row}-{rate:g}", "rate", row, RATE_SEED, rate=rate)
        for row in ("B", "G", "E", "C", "E-all")
        for rate in RATES
    ]

    def rows(name: str, seeds: tuple[int, ...], judged: bool = False) -> None:
        groups = [(task,) for task in TASKS] if ROWS[name].alone else [TASKS]
        for seed in seeds:
            for tasks in groups:
                label = f"{name}-{tasks[0]}" if ROWS[name].alone else name
                found.append(Job(f"{label}/{seed}", "row", name, seed, tasks, judged=judged))

    def few(name: str, seeds: tuple[int, ...], noise: bool = False) -> None:
        found.extend(
            Job(
                f"few-{name}@{left}{'-noise' * noise}/{seed}",
                "few",
                name,
                seed,
                left=left,
                noise=noise,
            )
            for seed in seeds
            for left in TASKS
        )

    def merged(seed: int) -> Job:
        needs = tuple(f"A-{task}/{seed}" for task in TASKS)
        return Job(f"H/{seed}", "merge", "A", seed, judged=True, needs=needs)

    # Short runs of small models first, so that a host that is taken away leaves whole tables.
    for name in ("G", "F", "I", "G-no-token", "F-gru", "G-root"):
        rows(name, (0, 1, 2), judged=name in ("G", "F", "I"))
    for seed in (0, 1, 2):
        few("G", (seed,))
        few("G", (seed,), noise=True)
    for name in ("B", "A", "E", "G-long", "F-long"):
        rows(name, (0, 1, 2), judged=True)
    for seed in (0, 1, 2):
        found.append(merged(seed))
        few("B", (seed,))
        few("E", (seed,))
        for name in ("C", "D", "E-all", "B-no-token", "B-4", "E-4", "B-16", "E-16", "B-30", "E-30"):
            rows(name, (seed,), judged=name == "E-all")
        few("B", (seed,), noise=True)
    for name in ("G", "F", "G-long", "I", "F-gru"):
        rows(name, (3, 4))
    few("G", (3, 4))
    return found
