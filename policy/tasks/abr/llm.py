"""NIOKA for adaptive bitrate streaming: a language model scores the levels of a ladder.

Tokens are one for what all levels share and one per level, lowest first; each level's output vector
gives its score. The encoder lets every level see its neighbours and the mean of all, since the
language model looks only backwards. Frozen blocks, LoRA adapters, encoder and head learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policy.model.backbone import DEFAULT_ID, LlmBackbone
from policy.model.config import BackboneConfig
from policy.tasks.abr.model import LevelEncoder, begin_at_plans

_ON_GPU = torch.bfloat16


class LlmScorer(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to one score a level [n, levels].

    `layers` blocks of SmolLM2-135M are kept; `pretrained` False draws their weights at random.
    `backbone` is a folder with the weights, if not the default's. `planned` as for small networks.
    """

    def __init__(
        self,
        width: int = 128,
        returns: bool = False,
        pretrained: bool = True,
        layers: int = 8,
        backbone: str | None = None,
        planned: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.returns, self.pretrained = width, returns, pretrained
        config = BackboneConfig(id=backbone or DEFAULT_ID, layers=layers, pretrained=pretrained)
        self.layers = layers
        self.backbone = LlmBackbone(config)
        self.fingerprint = self.backbone.fingerprint
        hidden = self.backbone.hidden
        self.encoder = LevelEncoder("mlp", width, returns, planned)
        self.to_token = nn.Linear(4 * width, hidden)
        self.to_context = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.score = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.plans = begin_at_plans(self.score[-1]) if planned else None

    def settings(self) -> dict[str, str]:
        """What a checkpoint's header says, to build the same network again."""
        return {
            "kind": "llm",
            "width": str(self.width),
            "returns": str(self.returns),
            "pretrained": str(self.pretrained),
            "layers": str(self.layers),
            "fingerprint": self.fingerprint,
            "planned": str(self.plans is not None),
        }

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        joined, mean = self.encoder(shared, by_level)
        tokens = torch.cat([self.to_context(mean)[:, None], self.to_token(joined)], dim=1)
        tokens = self.norm(tokens) * self.backbone.scale
        with torch.autocast(tokens.device.type, _ON_GPU, enabled=tokens.is_cuda):
            out = self.backbone.llm(inputs_embeds=tokens, use_cache=False).last_hidden_state
        scores: Tensor = self.score(out[:, 1:].float())[..., 0]
        return scores if self.plans is None else scores + self.plans(by_level)
