"""The runs of a grid on Ray: this machine by default, a cluster by its address.

Ray only spreads the work. Each of its tasks starts the same worker process as without Ray, in a
scope of its own; each host has one actor that owns its policy server. What travels: the run and its
trace out, one line back. Every host of a cluster needs this package, root and the same Python.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from policy.python import python_command
from testbed.controllers.server import start_server
from testbed.errors import UserError
from testbed.grid.expand import GridRun
from testbed.grid.pool import READ_S, WORKER_STOP_S, OnEnd, worker_environment
from testbed.grid.work import OnStart, Work, served_by
from testbed.system import signals
from testbed.system.process import Process
from testbed.system.scope import Scope

_POLL_S = 0.2
_REACH_S = 5.0
_STOP_S = 30.0
_START_S = 660.0  # of a host's policy server


def spread_on_ray(
    work: Work,
    address: str | None,
    workers: int | None,
    on_start: OnStart,
    on_end: OnEnd[GridRun],
) -> None:
    """Do the work, at most `workers` runs at a time (None: as many as the cluster's CPUs allow).

    Raises UserError if Ray does not start or a policy server ends.
    """
    with Scope() as scope, ExitStack() as stack:
        cluster = _connect(stack, scope, address, workers, work.cores_per_worker)
        servers: _Servers | None = None
        if work.server is not None and work.policy_server is None:
            servers = stack.enter_context(_Servers(work.server))
        traces = {
            name: ray.put(work.traces[name].read_bytes())
            for name in sorted({run.trace for run in work.runs if run.trace})
        }
        addresses = servers.addresses if servers else {}
        kept, flags = str(work.kept) if work.kept else None, work.way.flags()
        remote = ray.remote(num_cpus=work.cores_per_worker, max_retries=0)(_on_host)
        waiting, running = list(work.runs), _Running()
        stack.enter_context(running)
        while waiting or running.runs:
            while waiting and len(running.runs) < cluster:
                run = waiting.pop(0)
                on_start(run)
                data = served_by(run, work.policy_server).model_dump(mode="json")
                known = addresses if run.shares_server else {}
                task = remote.remote(data, work.module, traces.get(run.trace), known, kept, flags)
                running.runs[task] = run
            done, _ = ray.wait(list(running.runs), num_returns=1, timeout=_POLL_S)
            for task in done:
                run = running.runs.pop(task)
                try:
                    line, error = ray.get(task)
                except RayError as failure:
                    line, error = "", f"Ray: {' '.join(str(failure).split())[:300]}"
                on_end(run, line, error)
            if done and servers:
                servers.check()


def _connect(
    stack: ExitStack, scope: Scope, address: str | None, workers: int | None, cores: int
) -> int:
    """Start Ray here, or join a cluster; returns how many workers, of so many cores each, it
    carries. Raises UserError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # leave CUDA_VISIBLE_DEVICES as it is
    if address is not None:
        _reach(address)
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            # Its sockets' paths are limited to 107 characters, hence not inside the scope's own
            # folder.
            folder = f"/tmp/tbray-{scope.run_id.rpartition('-')[2]}"  # noqa: S108
            scope.record("tmp", folder)
            cpus = cores * (workers or 1)
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder, **quiet
            )
    except (RayError, OSError, RuntimeError, ValueError, ConnectionError) as error:
        where = f"cluster {address}" if address else "this machine"
        raise UserError(f"Ray on {where}: {error}; or use --executor processes") from error
    stack.callback(ray.shutdown)
    # Ray has put handlers in place of the scope's that end the process without unwinding
    signals.install()
    cluster = int(ray.cluster_resources().get("CPU", 0)) // cores
    if cluster < 1:
        raise UserError(
            f"Ray: the cluster has fewer than {cores} CPUs, as much as a worker asks for"
        )
    return min(cluster, workers or cluster)


def _reach(address: str) -> None:
    """Ray itself tries an address that nobody listens on for ten minutes. Raises UserError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "//" in host:
        return  # "auto", or a form that Ray knows better
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--ray-address {address}: nobody answers there: {error}; start Ray with `ray start "
            "--head`, or leave "
            "the option out to run on this machine"
        ) from error


class _Running:
    """The tasks under way; on the way out they are cancelled and waited for, so that each ends its
    own network.
    """

    def __init__(self) -> None:
        self.runs: dict[Any, GridRun] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *reason: object) -> None:
        for task in self.runs:
            ray.cancel(task, force=False)
        ray.wait(
            list(self.runs), num_returns=len(self.runs), timeout=_STOP_S
        ) if self.runs else None


class _Servers:
    """A policy server on every host, started side by side."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        self._hosts = {
            node["NodeID"]: ray.remote(num_cpus=0)(_Host)
            .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote()
            for node in nodes
        }
        self._settings = dict(settings)
        self.addresses: dict[str, str] = {}

    def __enter__(self) -> _Servers:
        started = {name: host.start.remote(self._settings) for name, host in self._hosts.items()}
        try:
            self.addresses = {
                name: ray.get(task, timeout=_START_S) for name, task in started.items()
            }
        except BaseException as error:
            self.__exit__()
            if isinstance(error, RayError):
                raise UserError(f"policy server: {_cause(error)}") from error
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        stopped = [host.stop.remote() for host in self._hosts.values()]
        ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_S)

    def check(self) -> None:
        """Raises UserError if one has ended: its cells would measure the agents' fallback."""
        try:
            ray.get([host.check.remote() for host in self._hosts.values()], timeout=_STOP_S)
        except RayError as error:
            raise UserError(f"policy server: {_cause(error)}") from error


def _cause(error: RayError) -> str:
    """What was raised at the other end, without Ray's traceback."""
    return str(getattr(error, "cause", None) or error)


class _Host:
    """Owns the policy server of a host."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: Process | None = None

    def start(self, settings: dict[str, Any]) -> str:
        scope = self._stack.enter_context(Scope())
        self._server, address = start_server(scope, settings, scope.tmp / "policy-server.log")
        return address

    def check(self) -> None:
        assert self._server is not None
        self._server.check()

    def stop(self) -> None:
        self._stack.close()


def _on_host(
    run: dict[str, Any],
    module: str,
    trace: bytes | None,
    addresses: Mapping[str, str],
    kept: str | None,
    flags: Sequence[str],
) -> tuple[str, str | None]:
    """One worker on whatever host this is; the line that it printed, or what went wrong.

    addresses: the policy server of each host; on a host that joined later a run starts its own.
    """
    address = addresses.get(ray.get_runtime_context().get_node_id())
    try:
        with Scope() as scope:
            scenario = dict(run["scenario"])
            if trace is not None:
                file = scope.tmp / "trace.parquet"
                file.write_bytes(trace)
                scenario["trace"] = str(file)
            if address is not None:
                scenario["policy_server"] = address
            path = scope.tmp / "run.json"
            path.write_text(json.dumps({**run, "scenario": scenario}), encoding="utf-8")
            out = Path(kept) / str(run["id"]) if kept else scope.tmp / "run"
            argv = [*python_command(module, path, out), *flags]
            process = scope.spawn(argv, name="worker", env=worker_environment())
            try:
                while process.poll() is None:
                    time.sleep(_POLL_S)
                process.check()
                return process.read_line(READ_S), None
            # also when the task is cancelled: with time to end its own network, agent and server
            finally:
                process.stop(WORKER_STOP_S)
    except UserError as error:
        return "", str(error)
