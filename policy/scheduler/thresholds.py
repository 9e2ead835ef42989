"""Thresholds of the rule scheduler (`policy.scheduler.rules`) and how they adapt
(`policy.scheduler.adaptive`), apart from the compiled loops, which take a second to load.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ApcConfig(BaseModel):
    """Thresholds; `…_on` sets a rule in, `…_off` ends it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trend_windows: int = Field(default=5, ge=2, le=20)
    """Windows over which trends and volatility are taken."""
    loss_on: float = Field(default=0.02, ge=0, le=1)
    """Mean loss rate over the trend windows (a fraction)."""
    loss_off: float = Field(default=0.005, ge=0, le=1)
    queueing_on: float = Field(default=0.75, ge=0)
    """Queueing delay of the newest window, in minimum RTTs …"""
    queueing_off: float = Field(default=0.25, ge=0)
    queueing_floor_ms: float = Field(default=25.0, ge=0)
    """… but never less than this, nor half of it to end."""
    rising_on: float = Field(default=0.10, ge=0)
    """Slope of the mean RTT over the trend windows (seconds per second)."""
    rising_off: float = Field(default=0.03, ge=0)
    volatility_on: float = Field(default=0.35, ge=0)
    """Standard deviation over mean of the delivery rate, over windows that the application did not
    limit.
    """
    volatility_off: float = Field(default=0.20, ge=0)
    calm_windows: int = Field(default=5, ge=1)
    """Windows below the lower threshold that end a rule."""

    @model_validator(mode="after")
    def _ordered(self) -> ApcConfig:
        for rule in ("loss", "queueing", "rising", "volatility"):
            if getattr(self, f"{rule}_off") > getattr(self, f"{rule}_on"):
                raise ValueError(f"{rule}_off must not be above {rule}_on")
        return self

    def scaled(self, factor: float) -> ApcConfig:
        """All thresholds times a factor; rates of loss stay at most 1. Outages have none."""
        changes: dict[str, float] = {"queueing_floor_ms": self.queueing_floor_ms * factor}
        for rule in ("loss", "queueing", "rising", "volatility"):
            for end in ("on", "off"):
                value = getattr(self, f"{rule}_{end}") * factor
                changes[f"{rule}_{end}"] = min(value, 1.0) if rule == "loss" else value
        return self.model_copy(update=changes)


class AdaptiveConfig(BaseModel):
    """How the thresholds move. Levels are log2 of the factor on all thresholds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lowest: float = Field(default=-2.0, ge=-3, le=0)
    highest: float = Field(default=3.0, ge=0, le=5)
    rise: float = Field(default=1.0, gt=0, le=5)
    """Most octaves upwards in one move, every quarter of a second."""
    fall: float = Field(default=1.0, gt=0, le=5)
    """Most octaves downwards."""
    deadband: float = Field(default=0.35, ge=0, le=2)
    """A smaller distance from where the level should be is no reason to move."""
    share: float = Field(default=0.8, ge=0.1, le=1)
    """Of the engine's throughput that is asked of it at most."""
    refused_share: float = Field(default=0.01, ge=0, le=1)
    """Share of difficult windows that the queue may refuse before less is asked."""
    half_life_s: float = Field(default=0.35, gt=0, le=60)
    """Of the histogram."""
    least_gain: float = Field(default=0.15, ge=0, le=2)
    """Octaves of power (rate over RTT) that an answer of the model must be worth."""
    explore: float = Field(default=0.01, ge=0, le=0.5)
    """Share of the windows that are decided the other way round, where little is known."""
    late_share: float = Field(default=0.03, ge=0, le=1)
    """Share of late answers beyond which less is asked."""
