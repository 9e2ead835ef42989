"""The settings of a congestion-control model beyond its backbone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from policy.tasks.base import Settings, TaskConfig


class EncoderConfig(Settings):
    """How the history becomes tokens. One patch of windows gives [return-to-go], [action], state
    tokens.
    """

    channels: int = Field(
        default=32, gt=0, le=256, description="CNN channels of each feature group"
    )
    kernel: int = Field(
        default=4, gt=0, le=64, description="taps of the causal convolution over windows"
    )
    patch: int = Field(
        default=4,
        gt=0,
        le=1024,
        description="windows that share one step of tokens; 1: a step per window",
    )
    state_tokens: Literal["one", "group"] = Field(
        default="one", description="one state token per step, or one for each feature group"
    )
    action_token: bool = Field(
        default=False, description="give the action taken a token of its own"
    )
    objective: bool = Field(
        default=False, description="take what the flow wants (policy.objective) as an input"
    )


class LossConfig(Settings):
    """The loss of training."""

    overestimation_weight: float = Field(
        default=1.0,
        gt=0,
        description="1: mean squared error; above: asking for too much costs this many times more",
    )


class ServingConfig(Settings):
    """How an answer becomes rate and cwnd. Chosen in the closed loop on validation traces
    (docs/results/training.md); stored with each checkpoint.
    """

    rate_gain: float = Field(
        default=1.06,
        gt=0,
        le=4,
        description=(
            "on every answer: a squared error of logarithms leads to the geometric mean of the "
            "rates that were right, which is below their mean"
        ),
    )
    allowed_queue_ns: float = Field(
        default=10e6, ge=0, le=1e10, description="queue that cwnd leaves room for"
    )
    allowed_queue_rtt: float = Field(
        default=0.2, ge=0, le=10, description="or this share of the minimum RTT, if that is more"
    )
    objective_room: float = Field(
        default=1.0,
        ge=1,
        le=64,
        description=(
            "of a model that takes an objective: how many times this queue `throughput` has room "
            "for, and `latency` a part of it as small"
        ),
    )
    probe_growth: float = Field(
        default=4.0,
        ge=1,
        le=16,
        description=(
            "how many times its estimate a flow sends at most, one window to the next, while it "
            "probes for the capacity (policy.tasks.congestion.probing); 1: it does not"
        ),
    )


def encoder_of(config: TaskConfig) -> EncoderConfig:
    """The encoder's settings by their type."""
    assert isinstance(config.encoder, EncoderConfig)
    return config.encoder


def steps(config: TaskConfig) -> int:
    """Token steps in one history."""
    return config.history // encoder_of(config).patch
