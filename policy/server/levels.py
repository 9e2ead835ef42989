"""Answers video players: which level the next chunk should have (`Policy.Choose`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from policy.protocol import policy_pb2 as pb
from policy.protocol.levels import MAX_REQUEST_BYTES, session_of
from policy.registry import abr_checkpoint
from policy.server.requests import asked_for, check_size
from policy.tasks.abr.evaluate import make_policy
from policy.tasks.abr.joint import ModelAbr
from policy.tasks.abr.measured import check_served, measured, record
from policy.tasks.abr.portable import Portable
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.video import Video
from policy.worker.policy import WorkerPart


class Levels:
    """ABR policies by the names they are served under. `choose` is called by one thread."""

    def __init__(
        self, names: Sequence[str], shared: Mapping[str, WorkerPart] | None = None
    ) -> None:
        """Loads each that is not shared, and lets each decide once, so that it is compiled. Raises
        PolicyError.
        """
        known = {name: ModelAbr(part) for name, part in (shared or {}).items()}
        self._policies: dict[str, Abr] = {name: known.get(name) or served(name) for name in names}
        for policy in self._policies.values():
            _warm_up(policy)

    def choose(self, data: bytes) -> pb.Level:
        """The answer to a request in its bytes. Raises PolicyError for one that is malformed or
        asks for what is not served, and google.protobuf's DecodeError.
        """
        check_size(data, MAX_REQUEST_BYTES)
        request = pb.LevelRequest.FromString(data)
        name, policy = asked_for(self._policies, request.policy, "ABR policy")
        session = session_of(request)
        began_ns = time.monotonic_ns()
        level = int(policy.decide(session)[0])
        return pb.Level(level=level, policy=name, compute_ns=time.monotonic_ns() - began_ns)


def served(name: str) -> Abr:
    """The policy that is served under a name: `default`, a rule, or a checkpoint. Raises
    PolicyError, also for a rule whose memory a request does not hold.
    """
    policy = make_policy("policy" if name == "default" else name)
    check_served(policy, name)
    if abr_checkpoint(name) is not None and not isinstance(policy, Portable):
        import torch

        # One decision is too small to share: threads that wait for each other miss its deadline.
        torch.set_num_threads(1)
    return policy


def _warm_up(policy: Abr) -> None:
    video = Video("warm-up", 4000, np.array([300.0, 900.0]), np.full((8, 2), [15e4, 45e4]))
    session = measured(video, qoe_of(video))
    record(session, 0, 15e4, 1000.0, 50.0)
    policy.decide(session)
