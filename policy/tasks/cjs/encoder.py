"""A graph network over the stages of each job, and the tokens: task, cluster, jobs, candidates.

Messages go from the stages that wait to those they wait for, as in Decima (Mao et al., SIGCOMM
2019). Graphs are small, so that all stages are updated at once, by products with the padded
adjacency: after as many sweeps as the longest path has edges the result is that of updates level by
level.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy.tasks.base import TaskConfig
from policy.tasks.cjs.inputs import CANDIDATES, SHAPES, STAGES, EncoderConfig

# Of the feature that holds the number of executors.
_FEATURE_UNIT = 50.0


class GraphEncoder(nn.Module):
    """Inputs of the scheduling task -> tokens [n, TOKENS, hidden]; absent entries are zeros. Of
    inputs with fewer rows of jobs come as many tokens fewer.
    """

    def __init__(self, config: TaskConfig, hidden: int, scale: float) -> None:
        super().__init__()
        settings = config.encoder
        assert isinstance(settings, EncoderConfig)
        width, self.sweeps = settings.width, settings.sweeps
        stage, job, cluster = SHAPES["stages"][-1], SHAPES["jobs"][-1], SHAPES["cluster"][-1]
        self.prepare = _mlp(stage + job + cluster, width)
        self.message, self.update = _mlp(width, width), _mlp(width, width)
        self.of_job = _mlp(width + job, width)
        self.of_cluster = _mlp(width + cluster, width)
        self.candidate = nn.Linear(3 * width, hidden)
        # Whether each rule proposes the candidate, and with which share of the executors.
        rules = SHAPES["proposed"][-1] if settings.actions == "proposed" else 0
        self.rules = nn.Linear(2 * rules, hidden) if rules else None
        self.job, self.cluster = nn.Linear(width, hidden), nn.Linear(width, hidden)
        # Of task, cluster, job, candidate, pass.
        self.kind = nn.Embedding(5, hidden)
        self.norm = nn.LayerNorm(hidden)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        shown = inputs["jobs"].shape[1]
        if self.training:
            inputs = _without_empty_rows(inputs)
        present = inputs["present"].float()[..., None]
        jobs, cluster = inputs["jobs"].float(), inputs["cluster"].float()
        n, rows = jobs.shape[:2]
        everywhere = torch.cat([jobs, cluster[:, None].expand(n, rows, -1)], dim=-1)
        stages = torch.cat(
            [inputs["stages"].float(), everywhere[:, :, None].expand(n, rows, STAGES, -1)], dim=-1
        )
        prepared = self.prepare(stages) * present
        adjacency = inputs["adjacency"].to(prepared.dtype)
        state = prepared
        for _ in range(self.sweeps):
            state = prepared + self.update(adjacency @ (self.message(state) * present)) * present
        in_cluster = present.amax(dim=2)
        of_job = self.of_job(torch.cat([state.sum(dim=2), jobs], dim=-1)) * in_cluster
        of_cluster = self.of_cluster(torch.cat([of_job.sum(dim=1), cluster], dim=-1))
        place = inputs["place"].long()
        row = torch.arange(n, device=place.device)[:, None]
        of_candidate = torch.cat(
            [
                state.flatten(1, 2)[row, place],
                of_job[row, place // STAGES],
                of_cluster[:, None].expand(n, CANDIDATES, -1),
            ],
            dim=-1,
        )
        exists = inputs["exists"].float()[..., None]
        kinds = self.kind.weight
        candidates = self.candidate(of_candidate) + kinds[3]
        passing = self.cluster(of_cluster) + kinds[4]
        candidates = torch.cat([passing[:, None], candidates[:, 1:]], dim=1)
        if self.rules is not None:
            proposed = inputs["proposed"].float()
            executors = (_FEATURE_UNIT * cluster[:, 4]).clamp(min=1)[:, None, None]
            says = torch.cat([(proposed > 0).float(), proposed / executors], dim=-1)
            candidates = candidates + self.rules(says)
        tokens = torch.cat(
            [
                kinds[0].expand(n, 1, -1),
                (self.cluster(of_cluster) + kinds[1])[:, None],
                nn.functional.pad(
                    (self.job(of_job) + kinds[2]) * in_cluster, (0, 0, 0, shown - rows)
                ),
                candidates * exists,
            ],
            dim=1,
        )
        normed: Tensor = self.norm(tokens)
        return normed


def _without_empty_rows(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without rows in which no cluster of the batch has a job: most of the time of training."""
    rows = max(1, int(inputs["present"].flatten(2).amax(dim=2).sum(dim=1).max()))
    of_jobs = ("stages", "jobs", "adjacency", "present")
    return dict(inputs) | {name: inputs[name][:, :rows] for name in of_jobs}


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
