"""A language model's checkpoint as one ONNX file for CPUs: `NAME.onnx` beside `NAME.safetensors`.

Adapters are merged, the backbone is the lean pass and its large matrices are int8 in blocks, as
`policy.model.export` has it; batch and ladder may be of any size. The file names the checkpoint
that it was made of by hash, so that neither answers for the other.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from policy.errors import PolicyError
from policy.model.decoder import LeanDecoder, supported
from policy.model.export import OPSET, product_attention, save
from policy.model.portable import PortableEngine
from policy.tasks.abr.llm import LlmScorer
from policy.tasks.abr.observation import PER_LEVEL, SHARED
from policy.tasks.abr.video import MAX_LEVELS

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"
_MADE_OF = "checkpoint_sha256"


class PortableScorer(nn.Module):
    """Scores levels as `LlmScorer` does, by ONNX Runtime."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._engine = PortableEngine(file)
        self.made_of = self._engine.metadata.get(_MADE_OF)

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        inputs = {"shared": shared.numpy(), "by_level": by_level.numpy()}
        return torch.from_numpy(self._engine.run(inputs))


class LeanScorer(nn.Module):
    """`LlmScorer` for inference: adapters merged, the backbone's lean pass over all positions."""

    def __init__(self, net: LlmScorer) -> None:
        super().__init__()
        net.backbone.merge_adapters()
        if not supported(net.backbone.llm):
            raise PolicyError("this backbone has no lean pass, so it cannot be exported")
        self.encoder, self.norm, self.score = net.encoder, net.norm, net.score
        self.to_token, self.to_context = net.to_token, net.to_context
        self.scale = net.backbone.scale
        self.decoder = LeanDecoder(net.backbone.llm, MAX_LEVELS + 1, product_attention)

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        joined, mean = self.encoder(shared, by_level)
        tokens = torch.cat([self.to_context(mean)[:, None], self.to_token(joined)], dim=1)
        out = self.decoder(self.norm(tokens) * self.scale, tokens.shape[1])
        scores: Tensor = self.score(out[:, 1:])[..., 0]
        return scores


def export(checkpoint: Path, backbone: str | None = None) -> Path:
    """Writes the ONNX file beside a language model's checkpoint. Raises PolicyError."""
    from policy.tasks.abr.learned import load_policy

    for needed in ("onnx", "onnxscript"):
        if find_spec(needed) is None:
            raise PolicyError(f"exporting needs {needed}; install the extra: make policy")
    net = load_policy(checkpoint, backbone=backbone).net
    if not isinstance(net, LlmScorer):
        raise PolicyError(
            f"{checkpoint}: a small network, which PyTorch runs in a millisecond; only a language "
            "model is exported"
        )
    if net.returns:
        raise PolicyError(f"{checkpoint}: a decision transformer is not exported")
    target = checkpoint.with_suffix(SUFFIX)
    part = target.with_name(f".{target.name}")
    try:
        save(_onnx_of(LeanScorer(net).eval(), _sha256(checkpoint)), part, bits=8)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def load_portable(checkpoint: Path) -> PortableScorer | None:
    """The exported file's scorer; None where there is none, or no ONNX Runtime. Raises PolicyError
    for a file that was made of another checkpoint.
    """
    file = checkpoint.with_suffix(SUFFIX)
    if not file.is_file() or find_spec("onnxruntime") is None:
        return None
    scorer = PortableScorer(file)
    if scorer.made_of != _sha256(checkpoint):
        raise PolicyError(
            f"{file}: made of another checkpoint; make it again: tbtest models export {checkpoint}"
        )
    return scorer


def _onnx_of(module: nn.Module, sha256: str) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    levels = torch.export.Dim("levels", min=2, max=MAX_LEVELS)
    example = (torch.ones(2, SHARED), torch.ones(2, 5, PER_LEVEL))
    with warnings.catch_warnings(), torch.no_grad(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        for noisy in ("onnxscript", "torch.onnx"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            example,
            input_names=["shared", "by_level"],
            output_names=["scores"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: batch}, {0: batch, 1: levels}),
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of this machine
        node.doc_string = ""
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = _MADE_OF, sha256
    return proto


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
