"""The language model as a sequence model: vectors in, the last output vectors out.

Any Hugging Face causal LM works: it is driven through `inputs_embeds`, without tokenizer, embedding
table or LM head. Its weights stay frozen; LoRA adapters (PEFT) learn. Nothing here knows what the
tokens mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from policy.model.config import MAX_LAYERS, BackboneConfig
from policy.model.errors import ModelError
from policy.model.fingerprint import fingerprint
from policy.model.optional_weights import OPTIONAL, optional_folder
from policy.model.weights import smollm2_folder

DEFAULT_ID = "smollm2-135m"
MAX_PARAMETERS = 10**10
SHARED = "default"
"""The name of the adapter that all tasks share: PEFT's usual one."""


class LlmBackbone(nn.Module):
    """Tokens [n, T, hidden] -> the last `positions` output vectors [n, positions, hidden].

    With `lora.rank_per_task` each of `tasks` has an adapter of its own beside the shared one;
    `activate` says whose turn it is.

    Attributes:
        llm: the transformer (a PEFT model while it has adapters).
        hidden: the width.
        scale: root mean square of the embedding table, the scale its first block expects.
        fingerprint: identifies the frozen weights; a checkpoint refuses to load onto others.
    """

    def __init__(
        self,
        config: BackboneConfig,
        dtype: torch.dtype = torch.float32,
        tasks: Iterable[str] = (),
    ) -> None:
        super().__init__()
        llm = _load(config, dtype)
        self.hidden: int = llm.config.hidden_size
        self.scale = float(
            llm.get_input_embeddings().weight.detach().float().square().mean().sqrt()
        )
        unused = nn.Embedding(
            1, self.hidden, dtype=dtype
        )  # the table would be a third of the memory
        llm.set_input_embeddings(unused.requires_grad_(False))
        nn.init.zeros_(unused.weight)
        _keep_blocks(llm, config)
        llm.requires_grad_(False)
        self.fingerprint = fingerprint(llm)
        if not config.frozen:
            llm.requires_grad_(True)
            unused.requires_grad_(False)
        for name, rank in adapters_of(config, tasks).items():
            llm = _with_adapter(llm, config, name, rank)
        self.llm = llm

    def forward(self, tokens: Tensor, positions: int = 1) -> Tensor:
        out: Tensor = self.llm(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return out[:, -positions:]

    @property
    def dtype(self) -> torch.dtype:
        """Of the frozen weights."""
        dtype: torch.dtype = self.llm.dtype
        return dtype

    def activate(self, task: str) -> None:
        """Use the shared adapter and that task's own; which of them learn stays as it is."""
        known = self.llm.peft_config if hasattr(self.llm, "peft_config") else {}
        chosen = [name for name in (SHARED, own_adapter(task)) if name in known]
        if chosen and list(self.llm.active_adapters) != chosen:
            learned = [value for value in self.llm.parameters() if value.requires_grad]
            self.llm.base_model.set_adapter(chosen)
            for value in learned:
                value.requires_grad_(True)

    def merge_adapters(self) -> None:
        """Fold the adapters into the weights, for inference; not to be undone."""
        if hasattr(self.llm, "merge_and_unload"):
            self.llm = self.llm.merge_and_unload()

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters, by name; empty without LoRA."""
        return {name: value for name, value in self.llm.named_parameters() if "lora_" in name}


def adapters_of(config: BackboneConfig, tasks: Iterable[str]) -> dict[str, int]:
    """Rank of each adapter by name: the shared one, and one for each task."""
    ranks = {SHARED: config.lora.rank}
    ranks |= {own_adapter(task): config.lora.rank_per_task for task in tasks}
    return {name: rank for name, rank in ranks.items() if rank}


def own_adapter(task: str) -> str:
    """The name of a task's own adapter."""
    return f"of_{task}"


def _load(config: BackboneConfig, dtype: torch.dtype) -> Any:  # a transformers.PreTrainedModel
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports the absent LM head at length
    logging.disable_progress_bar()
    if config.architecture is not None:
        shape = dict(config.architecture)
        try:
            hf_config = AutoConfig.for_model(shape.pop("model_type"), **shape)
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"backbone.architecture is not a Hugging Face configuration: {error}"
            ) from None
        _check_size(hf_config)
        return _random(hf_config, config.seed, dtype)
    source = _source(config.id)
    try:
        if not config.pretrained:
            return _random(AutoConfig.from_pretrained(source), config.seed, dtype)
        return AutoModel.from_pretrained(source, dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        kind = "folder" if Path(source).exists() else "Hugging Face id"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot load backbone {config.id!r} ({kind}): {reason}") from None


def _source(name: str) -> str:
    """A model folder, or a Hugging Face id."""
    if name == DEFAULT_ID:
        return str(smollm2_folder())
    return str(optional_folder(name)) if name in OPTIONAL else name


def _random(hf_config: Any, seed: int, dtype: torch.dtype) -> Any:
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(hf_config)
    cast_parameters(model, torch.bfloat16)  # so that they are the same in every dtype
    cast_parameters(model, dtype)
    return model


def cast_parameters(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert the parameters only: a model's buffers are its rotary frequencies, which bfloat16
    would falsify.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)


def _keep_blocks(llm: Any, config: BackboneConfig) -> None:
    if config.layers is None:
        return
    blocks = getattr(llm, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        raise ModelError(
            f"backbone.layers: {type(llm).__name__} does not hold its blocks in `layers`"
        )
    if config.layers > len(blocks):
        raise ModelError(
            f"backbone.layers is {config.layers}, but {config.id!r} has {len(blocks)} blocks"
        )
    llm.layers = blocks[: config.layers]
    llm.config.num_hidden_layers = config.layers


def _with_adapter(llm: Any, config: BackboneConfig, name: str, rank: int) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = config.lora
    adapter = LoraConfig(
        r=rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # PEFT reads an attribute that transformers renamed
            if hasattr(llm, "peft_config"):
                llm.add_adapter(name, adapter)
                for parameter, value in llm.named_parameters():
                    value.requires_grad_("lora_" in parameter)
                return llm
            return get_peft_model(llm, adapter, adapter_name=name)
    except ValueError as error:
        raise ModelError(f"backbone.lora.targets {list(lora.targets)}: {error}") from None


def _check_size(hf_config: Any) -> None:
    """Count the parameters before memory is asked for them. Raises ModelError."""
    from transformers import AutoModel

    if getattr(hf_config, "num_hidden_layers", 0) > MAX_LAYERS:
        raise ModelError(f"backbone.architecture: more than {MAX_LAYERS} layers")
    with torch.device("meta"):
        count = sum(value.numel() for value in AutoModel.from_config(hf_config).parameters())
    if count > MAX_PARAMETERS:
        raise ModelError(f"backbone.architecture: {count:.1e} parameters; at most 1e10 are taken")
