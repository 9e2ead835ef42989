"""What an agent is told: one JSON file."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from agent.errors import AgentError
from agent.layout import CONTROL, Mode, Wake
from policy.objective import BALANCED, parse_objective
from settings import first_mistake

Objective = Annotated[float, BeforeValidator(parse_objective)]
Quantiles = Annotated[
    tuple[Annotated[int, Field(ge=0, le=10**10)], ...], Field(min_length=1, max_length=1001)
]
NetnsCookie = Annotated[int, Field(gt=0, lt=2**64)]


class AgentConfig(BaseModel):
    """Times in nanoseconds, rates in bits per second."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cc_name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,15}$")
    """TCP_CONGESTION name that the agent registers; unique on the host. Only flows using it are
    controlled.
    """
    log_dir: Path
    pin_dir: Path | None = None
    """Folder in bpffs for maps and link; default /sys/fs/bpf/tbtest-<cc_name>. A new agent finds
    its flows there.
    """
    server: str | None = None
    """`unix:/path` or `host:port` of the policy server; none: the agent's local policy decides."""
    tls_ca: Path | None = None
    """Certificate authority (PEM) of a server on TCP; none: no TLS (unix sockets only, unless
    `insecure`).
    """
    token_file: Path | None = None
    """File holding the bearer token, sent with TLS."""
    policy: str = "apc"
    """Tier asked of the server: apc, llm, gru, mlp, persistence, gcc, bbr-lite, aimd, hold."""
    objective: Objective = BALANCED
    """What its flows want: `latency`, `balanced`, `throughput` or a number from 0 to 1."""
    netns_cookies: tuple[NetnsCookie, ...] | None = Field(default=None, max_length=1024)
    """Control only flows of these network namespaces (SO_NETNS_COOKIE); none: of any. Flows of
    others run under the kernel algorithm and take no slot.
    """
    tier: Literal["auto", "ebpf", "module", "portable"] = "auto"
    """module: the eBPF datapath's C as a module of the kernel, as in virtual time."""
    mode: Literal["command", "observe"] = "command"
    """observe: records flow, the kernel's own algorithm stays in control."""
    kernel: Literal["auto", "bbr", "aimd", "cubic"] = "auto"
    """The kernel algorithm underneath: fallback in command mode, controller in observe mode. auto:
    bbr, else aimd.
    """
    wake: Literal["window", "ack"] = "window"
    """When the datapath wakes the agent: on the ACK that closes a window, or on every ACK."""
    window_ns: int = Field(default=100_000_000, ge=5_000_000, le=10_000_000_000)
    deadline_ns: int = Field(default=100_000_000, ge=1_000_000)
    """After this long without an answer to a closed window the local policy decides."""
    inline: Path | None = None
    """Settings of a policy server (JSON) that decides within the agent's process instead of
    `server`: for virtual time, in which computing takes none.
    """
    latency_ns: dict[str, Quantiles | dict[Annotated[int, Field(ge=1)], Quantiles]] = Field(
        default_factory=dict
    )
    """With `inline`: how long a tier's answers take, as quantiles evenly spaced from the least to
    the most, or as these by the number of flows decided together. Other tiers answer at once.
    """
    stale_ns: int = Field(default=200_000_000, ge=50_000_000)
    """The datapath falls back to the kernel's algorithm this long after the agent's last heartbeat.
    """
    ring_bytes: int = Field(default=4 << 20, ge=4096, multiple_of=4096)
    """Size of the ring buffer, a power of two; 128 bytes hold one ACK."""
    slots: int = Field(default=1024, ge=1, le=65536)
    min_rate_bps: float = Field(default=64e3, gt=0)
    max_rate_bps: float = Field(default=100e9, gt=0)
    min_cwnd_packets: int = Field(default=4, ge=2)
    max_cwnd_packets: int = Field(default=65535, ge=4)
    ports: tuple[int, int] = (40000, 60000)
    """Portable tier: local ports of the flows to control, from and below."""

    @model_validator(mode="after")
    def _consistent(self) -> "AgentConfig":
        if self.kernel == "cubic" and self.mode != "observe":
            raise ValueError(
                "kernel: cubic can only be observed; set mode: observe, or kernel: bbr or aimd"
            )
        if self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(f"ring_bytes: {self.ring_bytes} is no power of two")
        if self.latency_ns and self.inline is None:
            raise ValueError(
                "latency_ns: a live decision takes as long as it takes; leave it out, or run in "
                "virtual time (--virtual)"
            )
        if self.server and not self.server.startswith("unix:") and self.tls_ca is None:
            raise ValueError(f"server: {self.server} is on TCP and needs tls_ca; or use unix:/path")
        if self.token_file is not None and self.tls_ca is None:
            raise ValueError("token_file: a token is sent over TLS only; set tls_ca")
        return self

    @property
    def pins(self) -> Path:
        """The folder of pins."""
        return self.pin_dir or Path("/sys/fs/bpf") / f"tbtest-{self.cc_name}"

    def flavours(self) -> list[str]:
        """Datapath flavours to try, in order."""
        return ["bbr", "aimd"] if self.kernel == "auto" else [self.kernel]

    def control(self) -> npt.NDArray[np.void]:
        """The datapath's control entry (`layout.CONTROL`), its heartbeat still zero: stale."""
        entry = np.zeros(1, CONTROL)
        entry["stale_ns"] = self.stale_ns
        entry["window_ns"] = self.window_ns
        entry["min_pacing_rate_Bps"] = self.min_rate_bps / 8
        entry["max_pacing_rate_Bps"] = self.max_rate_bps / 8
        entry["min_cwnd_packets"] = self.min_cwnd_packets
        entry["max_cwnd_packets"] = self.max_cwnd_packets
        entry["mode"] = Mode.OBSERVE if self.mode == "observe" else Mode.COMMANDED
        entry["wake"] = Wake.ACK if self.wake == "ack" else Wake.WINDOW
        entry["cc_name"] = self.cc_name.encode()
        return entry


def read(path: Path) -> AgentConfig:
    """Read and check a config file. Raises AgentError naming the file, the key and the value."""
    try:
        return AgentConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise AgentError(f"{path}: {first_mistake(error, AgentConfig)}") from None
