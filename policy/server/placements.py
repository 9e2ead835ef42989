"""Answers clusters: which stage gets executors, and how many (`Policy.Schedule`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from policy.model.info import resolve_scheduler
from policy.model.load import load_model
from policy.model.policy import ModelPolicy
from policy.protocol import policy_pb2 as pb
from policy.protocol.clusters import MAX_REQUEST_BYTES, observation_of
from policy.server.requests import asked_for, check_size
from policy.tasks.registry import learned_task
from policy.worker.policy import WorkerPart


class Placements:
    """Schedulers by the names they are served under. `schedule` is called by one thread."""

    def __init__(
        self, names: Sequence[str], shared: Mapping[str, WorkerPart] | None = None
    ) -> None:
        """Loads each that is not shared, and lets each decide once. Raises PolicyError."""
        self._observation = learned_task("cjs").observation(1)
        known = shared or {}
        self._policies: dict[str, ModelPolicy | WorkerPart] = {
            name: known.get(name) or _loaded(name) for name in names
        }
        example = {
            array.name: np.ones((1, *array.shape), array.dtype) for array in self._observation
        }
        for policy in self._policies.values():
            policy.decide(self._observation.batch(example), 0)

    def schedule(self, data: bytes) -> pb.Placement:
        """The answer to a request in its bytes. Raises PolicyError for one that is malformed or
        asks for what is not served, and google.protobuf's DecodeError.
        """
        check_size(data, MAX_REQUEST_BYTES)
        request = pb.ClusterRequest.FromString(data)
        name, policy = asked_for(self._policies, request.policy, "scheduler")
        batch = self._observation.batch(observation_of(request))
        began_ns = time.monotonic_ns()
        chosen = policy.decide(batch, 0)
        return pb.Placement(
            stage=int(chosen.stage[0]),
            executors=int(chosen.executors[0]),
            policy=name,
            compute_ns=time.monotonic_ns() - began_ns,
        )


def _loaded(name: str) -> ModelPolicy:
    return load_model(resolve_scheduler(name), task="cjs")
