"""How fast and how cheap the agent is: `python -m bench.agent` (root, eBPF; about two minutes; use
a quiet machine).

Prints one line per figure: ACK-to-agent latency, kernel cost per ACK, drain rate and loss, CPU
share of the agent, time from the ACK that closed a window to the answer applied, and how exactly a
rate step is followed.
"""

import contextlib
import ctypes
import json
import os
import select
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq

from agent import spawn
from agent.ebpf import libbpf
from agent.ebpf.datapath import EbpfDatapath
from agent.layout import RECORD, Flag, Kind
from bench.agent_rig import SERVER, agent_process, percentiles, prepared, python, traffic
from bench.cpu import cpu_s


def latency(folder: Path, wake: str, seconds: float) -> None:
    """From the kernel's time stamp of an ACK to the moment the reader has it, in this process."""
    tier = EbpfDatapath(prepared(spawn.new_cc_name(), folder, wake=wake, mode="observe"))
    try:
        poller = select.epoll()
        poller.register(
            tier.wake_fd or 0, select.EPOLLIN | (select.EPOLLET if wake == "window" else 0)
        )
        delays, closing = [], []
        with traffic(tier.cc_name, 24):
            time.sleep(1.0)
            tier.poll(time.monotonic_ns())
            started_s, end = time.thread_time(), time.monotonic() + seconds
            while time.monotonic() < end:
                poller.poll(0.025)
                now = time.monotonic_ns()
                records = tier.poll(now)
                acks = records[records["kind"] == Kind.ACK]
                delays.append(now - acks["at_ns"].astype(np.int64))
                closing.append(delays[-1][(acks["flags"] & int(Flag.CLOSES_WINDOW)) != 0])
            share = (time.thread_time() - started_s) / seconds
        every, closers = np.concatenate(delays), np.concatenate(closing)
        click.echo(
            f"ACK to agent, wake={wake}, window-closing ACKs: {percentiles(closers, 1e3, 'us')}"
        )
        click.echo(
            f"ACK to agent, wake={wake}, every ACK: {percentiles(every, 1e3, 'us')}; "
            f"{len(every) / seconds:.0f} ACK/s, reading alone {100 * share:.1f} % of a core"
        )
    finally:
        tier.close()


class _ProgramInfo(ctypes.Structure):
    """struct bpf_prog_info up to the name, and the two counters behind it."""

    _fields_ = [
        ("head", ctypes.c_uint8 * 64),
        ("name", ctypes.c_char * 16),
        ("rest", ctypes.c_uint8 * 144),
    ]


def program_times() -> dict[str, tuple[int, int]]:
    """(run time in ns, runs) of this host's loaded programs whose names begin with tb_, by name;
    newest wins.
    """
    lib = ctypes.CDLL("libbpf.so.1")
    number = ctypes.c_uint32(0)
    found = {}
    while lib.bpf_prog_get_next_id(number, ctypes.byref(number)) == 0:
        fd = lib.bpf_prog_get_fd_by_id(number)
        if fd < 0:
            continue
        info, length = _ProgramInfo(), ctypes.c_uint32(ctypes.sizeof(_ProgramInfo))
        libbpf.library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(length))
        words = dict(
            line.split(":\t")
            for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
            if ":\t" in line
        )
        os.close(fd)
        if info.name.startswith(b"tb_"):
            found[info.name.decode()] = (int(words["run_time_ns"]), int(words["run_cnt"]))
    return found


def kernel_cost(folder: Path, kernel: str, wake: str, seconds: float) -> None:
    """Time inside cong_control per ACK, by the kernel's own BPF statistics."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    tier = EbpfDatapath(prepared(spawn.new_cc_name(), folder, kernel=kernel, wake=wake))
    switch.write_text("1")
    try:
        poller = select.epoll()
        poller.register(
            tier.wake_fd or 0, select.EPOLLIN | (select.EPOLLET if wake == "window" else 0)
        )
        with traffic(tier.cc_name, 24):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                poller.poll(0.025)
                tier.poll(time.monotonic_ns())
            spent_ns, runs = program_times()["tb_cong_control"]
        click.echo(
            f"kernel cost per ACK, {kernel}, wake={wake}: {spent_ns / runs / 1e3:.2f} us over "
            f"{runs} ACKs"
        )
    finally:
        switch.write_text(before)
        tier.close()


def drain_rate() -> None:
    """Copying records out of memory in ring-sized portions."""
    ring = np.zeros(32768, RECORD)
    raw = ring.view(np.uint8)
    started, rounds = time.perf_counter(), 50
    for _ in range(rounds):
        part = raw.copy().view(RECORD)
        (part["length"] >> 31).any()
    click.echo(
        f"drain: {rounds * len(ring) / (time.perf_counter() - started) / 1e6:.1f} M records/s from "
        "a full ring"
    )


def load(folder: Path, seconds: float) -> None:
    """As many ACKs as the machine makes: small segments, no shaping."""
    tier = EbpfDatapath(prepared(spawn.new_cc_name(), folder, mode="observe"))
    try:
        poller = select.epoll()
        poller.register(tier.wake_fd or 0, select.EPOLLIN | select.EPOLLET)
        parts, started_s = [], 0.0
        with traffic(tier.cc_name, None, flows=2, mss=100):
            time.sleep(1.0)
            tier.poll(time.monotonic_ns())
            before, started_s, end = tier.dropped(), time.thread_time(), time.monotonic() + seconds
            while time.monotonic() < end:
                poller.poll(0.025)
                parts.append(tier.poll(time.monotonic_ns())["slot"])
            share, dropped = (time.thread_time() - started_s) / seconds, tier.dropped() - before
        count = sum(map(len, parts))
        click.echo(
            f"load: {count / seconds:.0f} ACK/s drained, {dropped} dropped, {100 * share:.1f} % of "
            "a core"
        )
    finally:
        tier.close()


def whole_agent(
    folder: Path,
    link_mbps: int,
    rate_mbps: float,
    wake: str,
    seconds: float,
    address: str | None,
    policy: str,
) -> None:
    """The agent as a process with a server: its CPU, its answers, the rate asked against the rate
    delivered.
    """
    config = prepared(
        spawn.new_cc_name(),
        folder,
        server=address or f"unix:{folder}/bench.sock",
        policy=policy,
        wake=wake,
    )
    with contextlib.ExitStack() as stack:
        if address is None:
            stack.enter_context(python(SERVER, str(config.server), str(rate_mbps * 1e6)))
        with agent_process(config) as process, traffic(config.cc_name, link_mbps):
            time.sleep(2.0)
            before = cpu_s(process.pid)
            started_ns = time.monotonic_ns()
            time.sleep(seconds)
            share = (cpu_s(process.pid) - before) / seconds
            ended_ns = time.monotonic_ns()
    acks = pq.read_table(
        config.log_dir / "acks.parquet",
        filters=[("at_ns", ">", started_ns), ("at_ns", "<", ended_ns)],
    )
    decisions = pq.read_table(
        config.log_dir / "decisions.parquet", filters=[("applied_ns", ">", started_ns)]
    ).to_pandas()
    decisions = decisions[(decisions["close_ack_ns"] > 0) & (decisions["tier"] != "local")]
    dropped = json.loads((config.log_dir / "agent.json").read_text())["dropped_records"]
    at, delivered = acks["at_ns"].to_numpy(), acks["delivered_bytes"].to_numpy()
    rate = 8e3 * (delivered[-1] - delivered[0]) / (at[-1] - at[0])
    click.echo(
        f"agent, wake={wake}, at {len(acks) / seconds:.0f} ACK/s: {100 * share:.1f} % of a core, "
        f"{dropped} dropped; "
        f"delivered {rate:.2f} Mbit/s on a {link_mbps} Mbit/s link"
        + (
            f", asked {rate_mbps:g}: {100 * (rate / rate_mbps - 1):+.2f} %"
            if address is None
            else ""
        )
    )
    delay = decisions["applied_ns"] - decisions["close_ack_ns"]
    click.echo(f"window-closing ACK to answer applied: {percentiles(delay.to_numpy(), 1e6, 'ms')}")


@click.command()
@click.option("--seconds", default=8.0, help="Length of each measurement.")
@click.option(
    "--policy-server", help="Address of a running server; default: one that answers a fixed rate."
)
@click.option("--policy", default="gcc", help="Policy to ask of --policy-server.")
def main(seconds: float, policy_server: str | None, policy: str) -> None:
    """Measure the agent on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drain_rate()
        for wake in ("window", "ack"):
            latency(folder, wake, seconds)
            for kernel in ("aimd", "bbr"):
                kernel_cost(folder, kernel, wake, seconds / 2)
        load(folder, seconds)
        for link_mbps, asked_mbps, wake in (
            (20, 18.0, "window"),
            (28, 24.0, "window"),
            (28, 24.0, "ack"),
        ):
            whole_agent(folder, link_mbps, asked_mbps, wake, seconds, policy_server, policy)


if __name__ == "__main__":
    main()
