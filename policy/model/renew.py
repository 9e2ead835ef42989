"""Earlier checkpoints name a fingerprint of each tensor's first values only. This command replaces
it, where the backbone at hand still has the old one:

    python -m policy.model.renew CHECKPOINT_FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from policy.model.backbone import LlmBackbone
from policy.model.config import LoraConfig
from policy.model.errors import ModelError
from policy.model.fingerprint import WHOLE, digest
from policy.model.info import read_info

_FIRST_VALUES = 2048


def renew(folder: Path) -> bool:
    """Give the checkpoint in `folder` a fingerprint of whole tensors; False if it needs none.

    Raises:
        ModelError: the folder holds no checkpoint, or the backbone here is another one.
    """
    info = read_info(folder)
    old = info.backbone_fingerprint
    if old is None or old.startswith(WHOLE):
        return False
    bare = info.model.backbone.model_copy(update={"lora": LoraConfig(rank=0)})
    backbone = LlmBackbone(bare)
    if digest(backbone.llm, _FIRST_VALUES) != old:
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
    if len(arguments) != 1:
        print("usage: python -m policy.model.renew CHECKPOINT_FOLDER", file=sys.stderr)
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
