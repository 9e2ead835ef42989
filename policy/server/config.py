"""The policy server's settings: one typed thing for command line, file and testbed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from policy.errors import PolicyError
from policy.registry import DEFAULT_LIGHT, LIGHT, abr_name, full_name, nearest
from policy.registry import scheduler_name as checkpoint_name
from policy.scheduler.admission import AdmissionConfig
from policy.scheduler.registry import full_name as scheduler_name
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.tasks.congestion.competition_config import CompetitionConfig
from settings import SettingsError, first_mistake, read_mapping


class Limits(BaseModel):
    """What agents may ask of the server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    streams: int = Field(default=256, ge=1)
    flows: int = Field(default=32768, ge=1, le=2**20)
    """Open flows, all streams together; memory is set aside for them (about 4 kB each)."""
    flows_per_stream: int = Field(default=16384, ge=1, le=2**20)
    records_per_batch: int = Field(default=200_000, ge=1)
    message_bytes: int = Field(default=32 * 2**20, ge=2**16)
    hello_timeout_s: float = Field(default=5.0, gt=0)


class ServerConfig(BaseModel):
    """All settings of the policy server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = "unix:/tmp/tbtest-policy.sock"
    """`unix:/path` or `host:port`."""
    tls_cert: Path | None = None
    """PEM certificate chain, and …"""
    tls_key: Path | None = None
    """… its key: needed on TCP."""
    token_file: Path | None = None
    """File with the bearer token that agents must send: needed on TCP."""
    light: str = DEFAULT_LIGHT
    """The rule policy that answers at once under `apc`."""
    difficult: str | None = "auto"
    """The policy for difficult flows under `apc`, a model or `path/to/file.py:Class`; null: none;
    auto: `llm` where it can be loaded, else none.
    """
    tiers: tuple[str, ...] = ()
    """Further policies to load, so that agents can ask for them alone: models, and users' own by
    `path/to/file.py:Class`. An agent never names a file that is not loaded here.
    """
    abr: tuple[str, ...] = ()
    """What players of video may ask for: rules without memory (`robust-mpc:horizon=8`), checkpoints
    by path, `default`. The first answers a player that names none.
    """
    schedulers: tuple[str, ...] = ()
    """What clusters may ask for: checkpoints by folder or bundled name, `default`. The first
    answers a cluster that names none.
    """
    models: dict[str, str] = Field(default_factory=dict)
    """Checkpoint folder or bundled name of each model tier; default: the bundled one."""
    device: str = "auto"
    """Where models run: auto, cpu, cuda, cuda:1, …"""
    seed: int = Field(default=0, ge=0)
    """Of tiers that draw at random (`explore`)."""
    metrics: int | None = Field(default=None, ge=0, le=65535)
    """Port of the Prometheus endpoint on 127.0.0.1; 0: any free one; null: none."""
    drain_s: float = Field(default=2.0, ge=0)
    """On SIGTERM, how long streams may go on before they are ended."""
    log: Literal["info", "warning"] = "info"
    log_inputs: Path | None = None
    """Folder for decisions with their inputs (`policy.tasks.congestion.logged`); null: none."""
    log_inputs_mib: int = Field(default=512, ge=1, le=2**20)
    """Size of that folder beyond which no more is logged."""
    limits: Limits = Limits()
    scheduler: str = "rules"
    """Who says which flows are difficult under `apc`: rules, adaptive, learned, or
    `path/to/file.py:Class`.
    """
    scheduler_state: Path | None = None
    """File in which an adaptive scheduler keeps what it has learnt, from one start to the next."""
    apc: ApcConfig = ApcConfig()
    """Thresholds of the rules."""
    adaptive: AdaptiveConfig = AdaptiveConfig()
    """How they move under `scheduler: adaptive`, and how much `learned` asks of the engine."""
    admission: AdmissionConfig = AdmissionConfig()
    competition: CompetitionConfig = CompetitionConfig()

    @field_validator("light", "difficult")
    @classmethod
    def _full_name(cls, name: str | None) -> str | None:
        return name if name in (None, "auto") else full_name(name)

    @field_validator("scheduler")
    @classmethod
    def _scheduler_name(cls, name: str) -> str:
        return scheduler_name(name)

    @field_validator("tiers")
    @classmethod
    def _full_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(full_name(name) for name in given)

    @field_validator("abr")
    @classmethod
    def _abr_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(abr_name(name) for name in given)

    @field_validator("schedulers")
    @classmethod
    def _scheduler_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        from policy.model.info import resolve_scheduler  # late: not every server has models

        names = tuple(checkpoint_name(name) for name in given)
        for name in names:
            resolve_scheduler(name)
        return names

    @field_validator("models")
    @classmethod
    def _by_full_name(cls, given: dict[str, str]) -> dict[str, str]:
        return {full_name(name): model for name, model in given.items()}

    @model_validator(mode="after")
    def _consistent(self) -> ServerConfig:
        if self.light not in LIGHT:
            raise ValueError(f"no rule policy {self.light!r}; {nearest(self.light, LIGHT)}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; set both or neither")
        if not self.is_unix and (self.tls_cert is None or self.token_file is None):
            raise ValueError(
                f"listen: {self.listen} is on TCP and needs tls_cert, tls_key and token_file; or "
                "use unix:/path"
            )
        return self

    @property
    def is_unix(self) -> bool:
        """Whether it listens on a unix socket."""
        return self.listen.startswith("unix:")


def build(settings: dict[str, object], origin: str) -> ServerConfig:
    """Check settings. Raises PolicyError naming the origin, the key and the value."""
    try:
        return ServerConfig.model_validate(settings)
    except ValidationError as error:
        raise PolicyError(f"{origin}: {first_mistake(error, ServerConfig)}") from None


def read(path: Path, overrides: Mapping[str, object] | None = None) -> ServerConfig:
    """Read a YAML (or JSON) file; overrides win. Raises PolicyError."""
    try:
        settings = read_mapping(path, "the settings of a policy server")
    except SettingsError as error:
        raise PolicyError(str(error)) from None
    return build(settings | dict(overrides or {}), str(path))
