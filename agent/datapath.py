"""The ways to reach the kernel's TCP, behind one interface, and the choice between them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent.config import AgentConfig
from agent.ebpf import loader, module
from agent.ebpf.datapath import EbpfDatapath
from agent.errors import AgentError
from agent.layout import Records
from agent.tcpinfo.datapath import PortableDatapath


class Datapath(Protocol):
    """A source of records and a sink of commands."""

    name: str  # "ebpf", "module" or "portable"
    kernel: str  # the kernel's algorithm underneath: fallback, or controller in observe mode
    cc_name: str  # what senders put into TCP_CONGESTION
    adopted: bool  # flows of a dead agent were taken over
    wake_fd: int | None  # becomes readable when the agent should look; None: it must poll
    poll_ns: int  # longest time between two calls of `poll`
    flows: npt.NDArray[np.void]  # layout.FLOW by slot

    def poll(self, now_ns: int) -> Records:
        """Say that the agent lives, and return what is new: layout.RECORD[n], oldest first."""

    def command(
        self,
        slots: npt.NDArray[np.int64],
        generations: npt.NDArray[np.int64],
        pacing_rate_bps: npt.NDArray[np.float64],
        cwnd_packets: npt.NDArray[np.float64],
    ) -> None:
        """Put commands in force from the next ACK on; finite values."""

    def free_slot(self, slot: int) -> None:
        """Take the slot from a flow that seems dead."""

    def dropped(self) -> int:
        """Records lost to a full buffer so far."""

    def refused(self) -> int:
        """Flows that found no slot so far; the kernel controls them."""

    def close(self) -> None:
        """Give the flows back to the kernel and leave nothing behind."""


def unavailable() -> dict[str, str | None]:
    """Per datapath why it cannot run here, with the remedy; None where it can."""
    return {"ebpf": loader.unavailable(), "portable": PortableDatapath.unavailable()}


def choose(config: AgentConfig) -> tuple[Datapath, str]:
    """Open the datapath that the config asks for, the best one if `auto`.

    Returns the datapath and, where `auto` had to settle for the portable one, the reason (else an
    empty string). Raises AgentError if what is asked for cannot be had.
    """
    if config.tier == "module" or (config.tier == "auto" and module.present()):
        return module.ModuleDatapath(config), ""
    reason = loader.unavailable() if config.tier != "portable" else ""
    if config.tier != "portable" and reason is None:
        try:
            return EbpfDatapath(config), ""
        except AgentError as error:
            if config.tier == "ebpf":
                raise
            reason = str(error)
    if config.tier == "ebpf":
        raise AgentError(f"tier: ebpf cannot be had: {reason}")
    return PortableDatapath(config), reason or ""
