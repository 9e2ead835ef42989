"""What tells a backbone's frozen weights from any others.

Earlier checkpoints name a fingerprint of each tensor's first values only. A command replaces it,
where the backbone at hand still has the old one:

    python -m policy.model.fingerprint CHECKPOINT_FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from torch import nn

WHOLE = "whole:"
"""Before a fingerprint of whole tensors."""
_FIRST_VALUES = 2048


def fingerprint(llm: nn.Module) -> str:
    """SHA-256 over names, shapes and all values, in bfloat16: the same in any dtype."""
    return WHOLE + _digest(llm, None)


def _digest(llm: nn.Module, values: int | None) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(llm.named_parameters()):
        taken = value.detach().flatten()[:values].to("cpu", torch.bfloat16).contiguous()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(taken.view(torch.int16).numpy().data)
    return digest.hexdigest()


def renew(folder: Path) -> bool:
    """Give the checkpoint in `folder` a fingerprint of whole tensors; False if it needs none.

    Raises:
        ModelError: the folder holds no checkpoint, or the backbone here is another one.
    """
    from policy.model.backbone import LlmBackbone
    from policy.model.config import LoraConfig
    from policy.model.errors import ModelError
    from policy.model.info import read_info

    info = read_info(folder)
    old = info.backbone_fingerprint
    if old is None or old.startswith(WHOLE):
        return False
    bare = info.model.backbone.model_copy(update={"lora": LoraConfig(rank=0)})
    backbone = LlmBackbone(bare)
    if _digest(backbone.llm, _FIRST_VALUES) != old:
        raise ModelError(f"{folder}: backbone {bare.id!r} has other weights here")
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record["backbone_fingerprint"] = backbone.fingerprint
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)
    return True


def main(arguments: list[str]) -> int:
    """Exit status: 0, or 2 with one line on stderr."""
    from policy.model.errors import ModelError

    if len(arguments) != 1:
        print("usage: python -m policy.model.fingerprint CHECKPOINT_FOLDER", file=sys.stderr)
        return 2
    try:
        renewed = renew(Path(arguments[0]))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    print("renewed" if renewed else "nothing to renew")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
