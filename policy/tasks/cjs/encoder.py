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

    Attributes:
        all_rows: in training, too, update rows without a job: what is done then does not depend on
            the inputs, as in a CUDA graph it must not.
    """

    all_rows = False

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
        asked = config.objective == "decision-transformer"
        self.asked = nn.Linear(1, width) if asked else None
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
        cluster, present = inputs["cluster"].float(), inputs["present"].float()
        n, rows = present.shape[:2]
        everywhere = cluster[:, None].expand(n, rows, -1)
        of_jobs = (*(inputs[name] for name in ("stages", "jobs", "adjacency")), present, everywhere)
        if self.training and not self.all_rows:
            # Most rows hold no job: without them a step takes a fraction of the time.
            row = present.any(dim=2).flatten().nonzero().squeeze(1)
            found = self._graphs(*(array.flatten(0, 1)[row] for array in of_jobs))
            state, of_job = (_in_rows(array, row, n, rows) for array in found)
        else:
            state, of_job = self._graphs(*of_jobs)
        in_cluster = present.amax(dim=2, keepdim=True)
        of_cluster = self.of_cluster(torch.cat([of_job.sum(dim=1), cluster], dim=-1))
        if self.asked is not None:
            of_cluster = of_cluster + self.asked(inputs["return_to_go"].float()[:, None])
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
                (self.job(of_job) + kinds[2]) * in_cluster,
                candidates * exists,
            ],
            dim=1,
        )
        normed: Tensor = self.norm(tokens)
        return normed

    def _graphs(
        self, stages: Tensor, jobs: Tensor, adjacency: Tensor, present: Tensor, cluster: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors [..., stages, width] of the stages and [..., width] of their jobs."""
        jobs, there = jobs.float(), present[..., None]
        everywhere = torch.cat([jobs, cluster], dim=-1)[..., None, :]
        everywhere = everywhere.expand(*stages.shape[:-1], everywhere.shape[-1])
        prepared = self.prepare(torch.cat([stages.float(), everywhere], dim=-1)) * there
        adjacency = adjacency.to(prepared.dtype)
        state = prepared
        for _ in range(self.sweeps):
            state = prepared + self.update(adjacency @ (self.message(state) * there)) * there
        of_job = self.of_job(torch.cat([state.sum(dim=-2), jobs], dim=-1))
        return state, of_job * present.amax(dim=-1, keepdim=True)


def _in_rows(of_jobs: Tensor, row: Tensor, n: int, rows: int) -> Tensor:
    """What is known of the jobs in these rows as [n, rows, ...], zeros elsewhere."""
    empty = of_jobs.new_zeros(n * rows, *of_jobs.shape[1:])
    filled: Tensor = empty.index_copy(0, row, of_jobs).unflatten(0, (n, rows))
    return filled


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
