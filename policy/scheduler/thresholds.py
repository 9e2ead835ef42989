"""Thresholds of the rule scheduler (`policy.scheduler.rules`), apart from its compiled loops, which
take a second to load.
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
