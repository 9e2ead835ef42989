"""How much each part of a flow's history moved an action away from that of a calm flow.

Occlusion runs the model as it serves: it puts one cell (a field over four windows) into calm and
sees what the action does. Integrated gradients (Sundararajan et al., ICML 2017) follow the gradient
from the calm flow to the real one through PyTorch; the parts then add up to the whole difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.explain.neutral import EXPLAINED, PATCH, calm_windows, cells, repeated, with_calm

Floats = NDArray[np.float64]
Act = Callable[[FlowBatch], Floats]
"""The action of each flow of a batch, log2 of the rate over the estimate: float64[n]."""
_STEPS = 32


def occlusion(batch: FlowBatch, act: Act) -> Floats:
    """float64[n, fields, patches]: by how much the action falls when the cell is put into calm."""
    count = len(cells(batch.windows.shape[1]))
    own = act(batch)
    without = act(
        with_calm(repeated(batch, count), np.tile(np.eye(count, dtype=bool), (len(batch), 1)))
    )
    change: Floats = own[:, None] - without.reshape(len(batch), count)
    return change.reshape(len(batch), len(EXPLAINED), -1)


def integrated_gradients(batch: FlowBatch, checkpoint: Path) -> Floats:
    """float64[n, fields, patches], through the checkpoint's model with PyTorch.

    The path runs in normalised features, whose channels are summed by the field that they are made
    of. Raises ImportError without PyTorch, ModelError for a checkpoint that cannot be loaded.
    """
    import torch

    from policy.model import checkpoint as stored
    from policy.tasks.congestion.encoder import WindowEncoder
    from policy.tasks.congestion.features import CHANNELS

    model, _ = stored.load(checkpoint)
    encoder = model.encoder
    assert isinstance(encoder, WindowEncoder)
    history = model.config.history

    def inputs(flows: FlowBatch) -> dict[str, torch.Tensor]:
        arrays = model.task.model_inputs(flows, model.config, None)
        return {name: torch.as_tensor(np.asarray(values)) for name, values in arrays.items()}

    calm = replace(batch, windows=calm_windows(batch))
    total = np.zeros((len(batch), history, len(CHANNELS)))
    for index in range(len(batch)):
        one = inputs(batch.only(np.array([index])))
        start, end = (
            encoder.features(inputs(flows.only(np.array([index])))) for flows in (calm, batch)
        )
        shares = (torch.arange(_STEPS) + 0.5) / _STEPS
        path = (start + shares[:, None, None] * (end - start)).detach().requires_grad_()
        many = {name: value.expand(_STEPS, *value.shape[1:]) for name, value in one.items()}
        tokens = encoder.tokens(path, many)
        vectors = model.backbone(tokens.to(model.backbone.dtype), model.positions)
        out = model.head(vectors.float(), many)
        (gradient,) = torch.autograd.grad(out.sum(), path)
        total[index] = (gradient.mean(0) * (end - start)[0]).detach().numpy()
    by_patch = total.reshape(len(batch), history // PATCH, PATCH, len(CHANNELS)).sum(axis=2)
    parts = np.zeros((len(batch), len(EXPLAINED), history // PATCH))
    for channel, name in enumerate(CHANNELS):
        if (field := FIELD_OF[name]) is not None:
            parts[:, EXPLAINED.index(field)] += by_patch[:, :, channel]
    return parts


FIELD_OF: dict[str, str | None] = {
    "delivery": "delivery_rate_bps",
    "send": "send_rate_bps",
    "asked": "asked_rate_bps",
    "bandwidth": "bandwidth_bps",
    "rtt_mean": "rtt_mean_ns",
    "rtt_min": "rtt_min_ns",
    "srtt": "srtt_ns",
    "queueing": "queueing_delay_ns",
    "gradient": "rtt_gradient",
    "loss_rate": "loss_rate",
    "lost_packets": "lost_bytes",
    "since_loss": "since_loss_ns",
    "ecn": "ecn_share",
    "inflight": "inflight_bytes",
    "cwnd": "cwnd_bytes",
    "bdp_packets": None,
    "spacing": "ack_spacing_ns",
    "count": "acks",
    "app_limited": "app_limited_share",
    "window_rtts": None,
    "action": "action_log2",
}
"""Channel of the encoder -> the field that it is made of; None: a property of the flow."""


def deletion(batch: FlowBatch, act: Act, order: NDArray[np.int64], steps: int = 10) -> Floats:
    """How far the action has moved from its own, float64[n, steps], when the first 1/steps,
    2/steps, … of the cells in this order, int64[n, cells], are put into calm.
    """
    n, count = order.shape
    rank = np.argsort(order, axis=1)
    upto = np.ceil(np.arange(1, steps + 1) * count / steps)
    calm = (rank[:, None, :] < upto[None, :, None]).reshape(n * steps, count)
    moved = np.abs(
        act(with_calm(repeated(batch, steps), calm)).reshape(n, steps) - act(batch)[:, None]
    )
    return moved


def by_size(parts: Floats) -> NDArray[np.int64]:
    """Cells of each flow, those that moved the action most first; parts: [n, fields, patches]."""
    return np.argsort(-np.abs(parts.reshape(len(parts), -1)), axis=1, kind="stable")


def agreement(first: Floats, second: Floats) -> float:
    """Correlation of two attributions over fields and flows, windows summed; NaN if one is flat."""
    a, b = (parts.sum(axis=2).ravel() for parts in (first, second))
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
