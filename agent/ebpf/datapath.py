"""The eBPF datapath: every ACK, pacing rate and cwnd, and the kernel's fallback after the last
heartbeat.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent.commands import CommandTable
from agent.config import AgentConfig
from agent.ebpf.loader import Sizes, open_pins
from agent.ebpf.pins import ANY_NETNS
from agent.layout import Records
from agent.ring import RingReader


class Tables(Protocol):
    """What the datapath's C shares with one agent, mapped into memory."""

    flavour: str  # the kernel's algorithm under the datapath
    adopted: bool  # a dead agent left them, and its flows live on
    ring_fd: int  # of the ring buffer, to map and to wait for
    ring_bytes: int
    flows: npt.NDArray[np.void]  # layout.FLOW by slot
    commands: npt.NDArray[np.void]  # layout.COMMAND by slot, written by the agent
    control: npt.NDArray[np.void]  # layout.CONTROL[1], written by the agent
    counters: npt.NDArray[np.void]  # layout.COUNTERS[1]

    def admit(self, cookies: Iterable[int]) -> None:
        """Let flows of these network namespaces take slots, besides those that may already."""

    def free_slot(self, slot: int) -> None:
        """Hand back a slot that a flow left without a CLOSE. If the flow lives after all, it opens
        anew.
        """

    def remove(self) -> None:
        """Unregister the controller. Live flows go on under the kernel's own control."""


class EbpfDatapath:
    """See `agent.datapath.Datapath`. Raises AgentError where the kernel refuses the datapath."""

    name = "ebpf"

    def __init__(self, config: AgentConfig) -> None:
        self._shared = self._tables(config)
        # Before anybody knows the controller's name.
        cookies = config.netns_cookies
        self._shared.admit([ANY_NETNS] if cookies is None else cookies)
        self._ring = RingReader(self._shared.ring_fd, self._shared.ring_bytes)
        self._commands = CommandTable(self._shared.commands)
        self._heartbeat = self._shared.control["heartbeat_ns"]
        self.kernel = self._shared.flavour
        self.cc_name = config.cc_name
        self.adopted = self._shared.adopted
        self.flows = self._shared.flows
        self.wake_fd: int | None = self._ring.fd
        self.poll_ns = min(25_000_000, config.stale_ns // 4)

    def _tables(self, config: AgentConfig) -> Tables:
        return open_pins(
            config.pins,
            config.cc_name,
            config.flavours(),
            Sizes(config.slots, config.ring_bytes),
            config.control(),
        )

    def poll(self, now_ns: int) -> Records:
        """Heartbeat, then drain the ring."""
        self._heartbeat[0] = now_ns
        return self._ring.drain()

    def command(
        self,
        slots: npt.NDArray[np.int64],
        generations: npt.NDArray[np.int64],
        pacing_rate_bps: npt.NDArray[np.float64],
        cwnd_packets: npt.NDArray[np.float64],
    ) -> None:
        """Write the command table; a command takes effect at the flow's next ACK."""
        self._commands.write(slots, generations, pacing_rate_bps, cwnd_packets)

    def free_slot(self, slot: int) -> None:
        """See Tables."""
        self._shared.free_slot(slot)

    def dropped(self) -> int:
        """Records lost to a full ring."""
        return int(self._shared.counters["dropped"][0])

    def refused(self) -> int:
        """Flows that found every slot taken."""
        return int(self._shared.counters["refused_flows"][0])

    def close(self) -> None:
        """Unregister the controller and leave nothing behind."""
        self._heartbeat[0] = 0  # flows still open fall back at their next ACK
        self._shared.remove()
