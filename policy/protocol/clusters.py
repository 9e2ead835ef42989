"""What a cluster shows its scheduler, to and from the request of `Policy.Schedule`."""

from __future__ import annotations

from typing import Any

import numpy as np

from policy.errors import PolicyError
from policy.protocol import policy_pb2 as pb
from policy.tasks.base import Arrays, InputSpec
from policy.tasks.registry import learned_task

MAX_REQUEST_BYTES = 1 << 20


def request_of(observation: Arrays, policy: str) -> pb.ClusterRequest:
    """The request that asks `policy` for the next placement; arrays of one sample, as
    `CjsTask.observation` has them.
    """
    arrays = {
        array.name: np.ascontiguousarray(observation[array.name], _wire(array.dtype)).tobytes()
        for array in _observation()
    }
    return pb.ClusterRequest(policy=policy, observation=arrays)


def observation_of(request: pb.ClusterRequest) -> Arrays:
    """The arrays [1, *shape] of a request. Raises PolicyError, naming the array, if it has
    others.
    """
    spec = _observation()
    if set(request.observation) != set(spec.names):
        raise PolicyError(f"observation: give the arrays {', '.join(spec.names)}")
    arrays: Arrays = {}
    for array in spec:
        data, kind = request.observation[array.name], _wire(array.dtype)
        needed = int(np.prod(array.shape)) * kind.itemsize
        if len(data) != needed:
            raise PolicyError(f"{array.name}: {len(data)} bytes, {needed} are needed")
        values = np.frombuffer(data, kind).reshape(1, *array.shape).astype(array.dtype)
        if not np.isfinite(values).all():
            raise PolicyError(f"{array.name}: a value is not a finite number")
        arrays[array.name] = values
    places = int(np.prod(arrays["present"].shape))
    if not ((arrays["place"] >= 0) & (arrays["place"] < places)).all():
        raise PolicyError(f"place: a value does not lie from 0 to {places - 1}")
    if not (arrays["exists"] > 0).any():
        raise PolicyError("exists: there is nothing to choose")
    return arrays


def _observation() -> InputSpec:
    return learned_task("cjs").observation(1)


def _wire(dtype: str) -> np.dtype[Any]:
    """Little-endian, whatever the machine."""
    return np.dtype(dtype).newbyteorder("<")
