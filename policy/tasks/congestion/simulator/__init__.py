"""A small closed loop for tuning and testing tiers: fluid queues of varying capacity in steps of 1
ms.
"""

from policy.tasks.congestion.simulator.beside import Beside, shared
from policy.tasks.congestion.simulator.kernel import Bbr, Cubic
from policy.tasks.congestion.simulator.loop import (
    MSS_BYTES,
    STEP_NS,
    Controller,
    Feedback,
    Links,
    Outcome,
    Source,
    TransportState,
    simulate,
)
from policy.tasks.congestion.simulator.policy_loop import PolicyController
from policy.tasks.congestion.simulator.video import Shown, Video, VideoSettings

__all__ = [
    "MSS_BYTES",
    "STEP_NS",
    "Bbr",
    "Beside",
    "Controller",
    "Cubic",
    "Feedback",
    "Links",
    "Outcome",
    "PolicyController",
    "Shown",
    "Source",
    "TransportState",
    "Video",
    "VideoSettings",
    "shared",
    "simulate",
]
