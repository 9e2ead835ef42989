"""What dead runs left behind, and its removal: only what their state files list, or what carries
their id.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.ebpf import bpffs
from agent.errors import AgentError
from testbed.errors import UserError
from testbed.system.pids import each_of_run, kill
from testbed.system.scope import remove_path
from testbed.system.state import STATE_DIR, RecordedPath, RunState, read_states


@dataclass(frozen=True)
class Cleaned:
    """What was done about one dead run."""

    run_id: str
    processes: tuple[str, ...]  # "name (pid 123)"
    paths: tuple[str, ...]
    stuck: tuple[str, ...]  # what would not go; the state file is kept then, for another try


@dataclass(frozen=True)
class CleanReport:
    """The outcome of `tbtest clean`."""

    cleaned: tuple[Cleaned, ...]
    alive: tuple[str, ...]  # runs left alone because they still run
    unreadable: tuple[str, ...]  # files left alone because they are not state files of this version


def clean(run_id: str | None = None, folder: Path = STATE_DIR) -> CleanReport:
    """Remove what dead runs (or the one named) left. Namespaces and interfaces end with the
    processes in them.

    Raises UserError if the run named is alive or unknown, or without root.
    """
    states, unreadable = read_states(folder)
    alive = [state for state in states if state.process.alive()]
    if run_id is not None:
        states = [state for state in states if state.run_id == run_id]
        if not states:
            known = ", ".join(sorted(state.run_id for state in read_states(folder)[0]))
            raise UserError(
                f"--run {run_id}: no such run; known: {known or 'none, there is nothing to clean'}"
            )
        if states[0] in alive:
            raise UserError(
                f"--run {run_id}: the run is alive (pid {states[0].process.pid}); end it first"
            )
    cleaned = tuple(_clean_run(state) for state in states if state not in alive)
    return CleanReport(cleaned, tuple(state.run_id for state in alive), tuple(map(str, unreadable)))


def _clean_run(state: RunState) -> Cleaned:
    names = {spawned.process: spawned.name for spawned in state.processes}
    processes: list[str] = []
    paths: list[str] = []
    stuck: list[str] = []
    # Listed ones first; then, until none is left, what they or the run had started unlisted.
    listed = [process for process in names if process.alive()]
    for process in each_of_run(state.run_id, listed):
        label = f"{names.get(process, 'unlisted')} (pid {process.pid})"
        (processes if kill(process) else stuck).append(label)
    for recorded in state.paths:
        try:
            if _remove(recorded):
                paths.append(recorded.path)
            if Path(recorded.path).exists():
                stuck.append(recorded.path)
        except (AgentError, OSError) as error:
            stuck.append(f"{recorded.path} ({error})")
    if not stuck:
        for draft in state.folder.glob(f"{state.run_id}~*.draft"):
            draft.unlink(missing_ok=True)
        state.remove()
    return Cleaned(state.run_id, tuple(processes), tuple(paths), tuple(stuck))


def _remove(recorded: RecordedPath) -> bool:
    """Delete what was recorded; returns whether it was there. Raises AgentError or OSError where
    that cannot be done.

    Pins are more than files: before Linux 6.4 the controller behind them stays registered unless
    the agent's way of removing them is taken. It also unmounts the BPF file system that an agent
    mounted, once nobody uses it.
    """
    path = Path(recorded.path)
    if recorded.kind == "pin" and path.is_relative_to(bpffs.ROOT):
        return bpffs.clean(path)
    return remove_path(path)
