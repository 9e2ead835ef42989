"""Settings of TCP-competitive mode (`policy.tasks.congestion.competition`), apart from its compiled
loops, which take a second to load.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CompetitionConfig(BaseModel):
    """When to compete, and how hard. Chosen in `policy.tasks.congestion.simulator`
    (docs/reference/policy-server.md).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    short_ms: float = Field(default=25.0, gt=0)
    """A queue is short if in some part of the window it was below this or …"""
    short_rtt: float = Field(default=0.3, ge=0)
    """… this share of the minimum RTT, whichever is more."""
    long: float = Field(default=2.2, ge=1)
    """It is probed if it is so many times as long as that, and …"""
    standing_ms: float = Field(default=500.0, gt=0)
    """… was never short for so long."""
    patience: int = Field(default=3, ge=0, le=10)
    """Each probe that finds the flow alone doubles `standing_ms`, so many times at most."""
    probe_gain: float = Field(default=0.5, gt=0, lt=1)
    """Rate of a probe over what is delivered."""
    memory_ms: float = Field(default=5000.0, gt=0)
    """Half-life of what a flow had in flight before it was squeezed, with which it begins to
    compete.
    """
    growth: float = Field(default=1.5, gt=1)
    """Of cwnd per RTT at first, until …"""
    cuts: int = Field(default=2, ge=1)
    """… so many losses; or in vain, if while cwnd grows by …"""
    stage: float = Field(default=1.6, gt=1)
    """… this factor, …"""
    follows: float = Field(default=0.3, gt=0, lt=1)
    """… the logarithm of what is delivered grows by less than this share of cwnd's."""
    emptied_ms: float = Field(default=300.0, gt=0)
    """The other has left if the queue was short in all windows of so long a time, and of three
    RTTs.
    """
    compete_ms: float = Field(default=6000.0, gt=0)
    """Time between probes while competing, …"""
    probe_share: float = Field(default=0.2, gt=0, lt=1)
    """… and longer where probes would take more than this share of the time: one lasts as long as a
    deep queue.
    """
