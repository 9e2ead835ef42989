"""The portable datapath: TCP_INFO snapshots and a cap on the pacing rate (SO_MAX_PACING_RATE),
without eBPF.

It can only cap the kernel's own congestion control, has no say in cwnd, and sees snapshots
(smoothed RTT, and bytes retransmitted in place of bytes lost) instead of ACKs. A flow is a TCP
connection whose local port is in the configured range; it is reached by borrowing the sender's
socket (pidfd_getfd) for the length of one call, so a sender that closes its socket closes the
connection as ever. That takes the sender's user with ptrace rights over it, or root.
"""

import errno
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.config import AgentConfig
from agent.errors import AgentError
from agent.layout import FLOW, OPEN_RECORD, RECORD, Flag, Kind, Records, join
from agent.tcpinfo import borrow
from agent.tcpinfo.borrow import SocketName
from agent.tcpinfo.snapshots import TCP_INFO, snapshot_records
from policy.python import python_command

SO_NETNS_COOKIE = 71
_TCP_ESTABLISHED = 1
_KERNELS = {
    "auto": ("bbr", "cubic", "reno"),
    "bbr": ("bbr",),
    "aimd": ("reno",),
    "cubic": ("cubic",),
}


@dataclass
class Flow:
    """A connection, and what of it was last seen."""

    name: SocketName
    generation: int
    open_ns: int
    window: int = 0  # in which the last record was
    acked: tuple[int, int] = (
        -1,
        -1,
    )  # bytes acked and retransmitted at the last record: what a change shows in
    capped: bool = False

    def flags(self, now_ns: int, window_ns: int) -> int:
        """Of a record now: whether the flow is commanded, and whether the record is the first after
        a window's end, for which the agent need not wait then.
        """
        window = (now_ns - self.open_ns) // window_ns
        closes, self.window = window > self.window, window
        return Flag.COMMANDED * self.capped | Flag.CLOSES_WINDOW * closes


class PortableDatapath:
    """See `agent.datapath.Datapath`."""

    name = "portable"
    adopted = False
    wake_fd: int | None = None
    poll_ns = 2_000_000
    _scan_ns = 50_000_000

    @staticmethod
    def unavailable() -> str | None:
        """Why it cannot run here, with the remedy; None where it can."""
        return borrow.unavailable()

    def __init__(self, config: AgentConfig) -> None:
        if reason := self.unavailable():
            raise AgentError(f"tier: portable cannot be had: {reason}")
        self._config = config
        self.cc_name = self.kernel = _pick_kernel(config)
        self.flows = np.zeros(config.slots, FLOW)
        self._flows: dict[int, Flow] = {}
        self._free = list(range(config.slots))[::-1]
        self._refused: set[int] = set()
        self._ignored: set[int] = set()  # sockets of other namespaces, by inode
        self._next_scan_ns = 0
        # Lifts the caps when this process dies or hangs: no kernel watchdog does so here.
        self._guard = subprocess.Popen(
            python_command("agent.tcpinfo.guard", config.stale_ns),
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._next_beat_ns = 0

    def poll(self, now_ns: int) -> Records:
        """Look for new connections now and then; snapshot all that have made progress."""
        if now_ns >= self._next_beat_ns:
            self._next_beat_ns = now_ns + self._config.stale_ns // 4
            self._tell_guard("beat")
        parts = []
        if now_ns >= self._next_scan_ns:
            self._next_scan_ns = now_ns + self._scan_ns
            parts += list(self._open_new(now_ns))
        parts += list(self._snapshots(now_ns))
        return join(parts)

    def _open_new(self, now_ns: int) -> Iterator[Records]:
        known = {flow.name.inode for flow in self._flows.values()} | self._ignored
        for name in borrow.find(self._config.ports, known):
            with borrow.borrowed(name) as sock:
                if sock is None:
                    continue
                cookie = struct.unpack(
                    "=Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
                )[0]
                cookies = self._config.netns_cookies
                if cookies is not None and cookie not in cookies:
                    self._ignored.add(name.inode)
                    continue
                if not self._free:
                    self._refused.add(name.inode)
                    continue
                yield self._open(name, sock, cookie, now_ns)

    def _open(self, name: SocketName, sock: socket.socket, cookie: int, now_ns: int) -> Records:
        slot = self._free.pop()
        entry = self.flows[slot : slot + 1]
        entry["generation"] += 1
        entry["live"], entry["open_ns"], entry["netns_cookie"] = 1, now_ns, cookie
        entry["family"] = sock.family
        for side, address in (("local", sock.getsockname()), ("remote", sock.getpeername())):
            entry[f"{side}_port"] = address[1]
            packed = socket.inet_pton(sock.family, address[0].partition("%")[0]).ljust(16, b"\0")
            entry[f"{side}_address"][0] = np.frombuffer(packed, np.uint8)
        generation = int(entry["generation"][0])
        self._flows[slot] = Flow(name, generation, now_ns)
        opened = np.zeros(1, OPEN_RECORD)
        for column in (
            "generation",
            "netns_cookie",
            "family",
            "local_port",
            "remote_port",
            "local_address",
            "remote_address",
        ):
            opened[column] = entry[column]
        opened["at_ns"], opened["slot"], opened["kind"] = now_ns, slot, Kind.OPEN
        return opened.view(RECORD)

    def _snapshots(self, now_ns: int) -> Iterator[Records]:
        packed, slots, flags = bytearray(), [], []
        for slot, flow in list(self._flows.items()):
            raw = borrow.tcp_info(flow.name, TCP_INFO.itemsize)
            if raw is None or raw[0] != _TCP_ESTABLISHED or len(raw) < TCP_INFO.itemsize:
                yield self._close_flow(slot, now_ns)
                continue
            progress = struct.unpack_from("=Q", raw, 120)[0], struct.unpack_from("=Q", raw, 208)[0]
            if progress != flow.acked:
                flow.acked = progress
                packed += raw
                slots.append(slot)
                flags.append(flow.flags(now_ns, self._config.window_ns))
        if slots:
            generations = np.array([self._flows[slot].generation for slot in slots])
            records = snapshot_records(
                np.frombuffer(bytes(packed), TCP_INFO), np.array(slots), generations, now_ns
            )
            records["flags"] |= np.array(flags, np.uint8)
            yield records

    def _close_flow(self, slot: int, now_ns: int) -> Records:
        flow = self._flows.pop(slot)
        self._tell_guard(f"free {flow.name.text()}")
        self.flows["live"][slot] = 0
        self._free.append(slot)
        closed = np.zeros(1, RECORD)
        closed["at_ns"], closed["slot"], closed["generation"], closed["kind"] = (
            now_ns,
            slot,
            flow.generation,
            Kind.CLOSE,
        )
        closed["rtt_us"] = -1
        return closed

    def command(
        self,
        slots: npt.NDArray[np.int64],
        generations: npt.NDArray[np.int64],
        pacing_rate_bps: npt.NDArray[np.float64],
        cwnd_packets: npt.NDArray[np.float64],
    ) -> None:
        """Cap the pacing rates; cwnd stays the kernel's."""
        rates = np.clip(pacing_rate_bps, self._config.min_rate_bps, self._config.max_rate_bps)
        for slot, generation, rate in zip(
            slots.tolist(), generations.tolist(), rates.tolist(), strict=True
        ):
            flow = self._flows.get(slot)
            if flow is None or flow.generation != generation:
                continue
            if not flow.capped:
                self._tell_guard(f"cap {flow.name.text()}")
                flow.capped = True
            with borrow.borrowed(flow.name) as sock:
                if sock:
                    borrow.cap(sock, int(rate / 8))

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin
        try:
            self._guard.stdin.write(line + "\n")
        except BrokenPipeError:
            raise AgentError(
                "the guard process of the portable datapath died; restart the agent"
            ) from None

    def free_slot(self, slot: int) -> None:
        """Slots are freed with their sockets: nothing to do for a quiet flow."""

    def dropped(self) -> int:
        """Snapshots are taken, not queued: none is lost."""
        return 0

    def refused(self) -> int:
        """Connections that found every slot taken."""
        return len(self._refused)

    def close(self) -> None:
        """Lift all caps."""
        self._guard.communicate(timeout=5)


def _pick_kernel(config: AgentConfig) -> str:
    """The first kernel algorithm in order of preference that this user may choose."""
    with socket.socket() as probe:
        for name in _KERNELS[config.kernel]:
            try:
                probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EPERM):
                    raise
            else:
                return name
    raise AgentError(
        f"kernel: {config.kernel} is not available to this user "
        "(net.ipv4.tcp_allowed_congestion_control)"
    )
