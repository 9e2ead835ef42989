"""Command traffic: the two ends are programs of the user's, known by their packets alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.traffic.base import FlowSpec
from testbed.traffic.command.options import CommandOptions
from testbed.traffic.command.ports import is_bound
from testbed.traffic.command.program import Program
from testbed.traffic.process import Interval, Terminated, await_start, main
from testbed.units import NS_PER_S

_SLICE_S = 0.05
_ROLES = ("sender", "receiver")


class Command:
    """See TrafficKind."""

    name = "command"
    module = "testbed.traffic.command.kind"
    options_model = CommandOptions

    def finish(self, spec: FlowSpec) -> None:
        """What both ends said of themselves becomes ``command-<flow>.json``."""
        parts = {role: _about(spec, role) for role in _ROLES}
        ends = {role: json.loads(path.read_text()) for role, path in parts.items() if path.exists()}
        whole = spec.log_dir / f"command-{spec.flow}.json"
        draft = whole.with_suffix(".tmp")
        draft.write_text(json.dumps(ends, indent=1) + "\n", encoding="utf-8")
        draft.replace(whole)
        for path in parts.values():
            path.unlink(missing_ok=True)


KIND = Command()


def _about(spec: FlowSpec, role: str) -> Path:
    return spec.log_dir / f"command-{spec.flow}-{role}.json"


@contextmanager
def _program(spec: FlowSpec, role: str, argv: list[str]) -> Iterator[Program]:
    """The program of one end, ended on leaving; then its account is written."""
    program = Program(role, argv, spec.log_dir / f"command-{spec.flow}-{role}.out")
    try:
        yield program
    finally:
        program.stop()
        _about(spec, role).write_text(json.dumps(program.describe()), encoding="utf-8")


def _options(spec: FlowSpec) -> CommandOptions:
    return CommandOptions.model_validate(spec.options)


def send(spec: FlowSpec) -> None:
    """Start the sender's program at the flow's start; see it to its end. Raises UserError."""
    terminated = Terminated()
    options = _options(spec)
    interval = await_start(terminated)
    if interval is None:
        return
    argv = options.argv("sender", spec, interval.stop_ns - interval.start_ns)
    with _program(spec, "sender", argv) as program:
        _run(program, options, interval, terminated)


def receive(spec: FlowSpec) -> None:
    """Start the receiver's program, await that it is ready, see it to its end. Raises UserError."""
    terminated = Terminated()
    options = _options(spec)
    duration_ns = int(spec.duration_ns)
    with _program(spec, "receiver", options.argv("receiver", spec, duration_ns)) as program:
        _await_ready(program, options, spec.receiver_port, terminated)
        interval = await_start(terminated)
        if interval is not None:
            _run(program, options, interval, terminated)


def _await_ready(
    program: Program, options: CommandOptions, port: int, terminated: Terminated
) -> None:
    deadline = time.monotonic() + options.ready_timeout_s
    text = options.ready_text
    while not terminated:
        running = program.check("before it was ready")
        if text is not None:
            ready = text in program.output.head
        else:
            ready = options.ready == "started" or is_bound(port)
        if ready:
            return
        if not running:
            raise program.failed("ended before it was ready")
        if time.monotonic() > deadline:
            what = (
                f"bound to port {port}" if text is None else f"seen to write {options.ready[5:]!r}"
            )
            raise program.failed(f"was not {what} within {options.ready_timeout_s:g} s")
        time.sleep(_SLICE_S)


def _run(
    program: Program, options: CommandOptions, interval: Interval, terminated: Terminated
) -> None:
    """Until it ends by itself, or the grace after the flow's stop is over. Raises UserError."""
    until_ns = interval.stop_ns + int(options.grace_s * NS_PER_S)
    while not terminated and time.monotonic_ns() < until_ns:
        if not program.check("during the flow"):
            return
        time.sleep(_SLICE_S)


if __name__ == "__main__":
    main(sender=send, receiver=receive)
