"""The eBPF datapath: every ACK, pacing rate and cwnd, and the kernel's fallback after the last
heartbeat.
"""

import numpy as np
import numpy.typing as npt

from agent.commands import CommandTable
from agent.config import AgentConfig
from agent.ebpf.loader import Sizes, open_pins
from agent.ebpf.pins import ANY_NETNS
from agent.layout import Records
from agent.ring import RingReader


class EbpfDatapath:
    """See `agent.datapath.Datapath`. Raises AgentError where the kernel refuses the datapath."""

    name = "ebpf"

    def __init__(self, config: AgentConfig) -> None:
        self._pins = open_pins(
            config.pins,
            config.cc_name,
            config.flavours(),
            Sizes(config.slots, config.ring_bytes),
            config.control(),
        )
        # Before anybody knows the controller's name.
        cookies = config.netns_cookies
        self._pins.admit([ANY_NETNS] if cookies is None else cookies)
        self._ring = RingReader(self._pins.ring_fd, self._pins.ring_bytes)
        self._commands = CommandTable(self._pins.commands)
        self._heartbeat = self._pins.control["heartbeat_ns"]
        self.kernel = self._pins.flavour
        self.cc_name = config.cc_name
        self.adopted = self._pins.adopted
        self.flows = self._pins.flows
        self.wake_fd: int | None = self._ring.fd
        self.poll_ns = min(25_000_000, config.stale_ns // 4)

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
        """See `Pins.free_slot`."""
        self._pins.free_slot(slot)

    def dropped(self) -> int:
        """Records lost to a full ring."""
        return int(self._pins.counters["dropped"][0])

    def refused(self) -> int:
        """Flows that found every slot taken."""
        return int(self._pins.counters["refused_flows"][0])

    def close(self) -> None:
        """Unregister the controller and remove the pins."""
        self._heartbeat[0] = 0  # flows still open fall back at their next ACK
        self._pins.remove()
