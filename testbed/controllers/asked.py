"""What controllers read of a scenario."""

from __future__ import annotations

from typing import Any, Protocol


class Asked(Protocol):
    """The part of `testbed.scenario.Scenario` that is about controllers."""

    @property
    def cc(self) -> tuple[str, ...]:
        """Their full names."""
        ...

    @property
    def policy(self) -> dict[str, Any]:
        """Settings of the policy server and the agent."""
        ...

    @property
    def policy_server(self) -> str | None:
        """Address of a running server to use instead of the run's own."""
        ...

    @property
    def flow(self) -> str:
        """The traffic kind of the measured flows."""
        ...

    @property
    def log_inputs(self) -> bool:
        """Whether the policy server logs decisions with their inputs."""
        ...
