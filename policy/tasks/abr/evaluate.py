"""Compares policies on the same sessions: means, and paired differences with intervals over
recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.errors import PolicyError
from policy.registry import abr_checkpoint
from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.joint import ModelAbr
from policy.tasks.abr.play import Played, play
from policy.tasks.abr.portable import load_portable
from policy.tasks.abr.rules import RULES, Abr, make_rule
from policy.tasks.abr.session import Sessions

RESAMPLES = 10_000
_SEED = 20_251_211


@dataclass(frozen=True)
class Row:
    """One policy on all sessions; `difference` is its QoE less the baseline's, with a 95 %
    interval.
    """

    policy: str
    n: int
    recordings: int
    qoe: float
    qoe_ci95: tuple[float, float] | None
    qoe_p5: float
    bitrate_kbps: float
    stall_ratio: float
    stall_s_per_chunk: float
    switches: float
    difference: float | None = None
    difference_ci95: tuple[float, float] | None = None


def make_policy(text: str) -> Abr:
    """A rule by name and options, a checkpoint by its path (`*.safetensors`, or the folder of a
    model of several tasks, or the name of one that ships), or `policy`, the checkpoint that ships.
    Raises PolicyError.
    """
    checkpoint = abr_checkpoint("default" if text == "policy" else text)
    if checkpoint is not None:
        return load_checkpoint(checkpoint)
    if text.partition(":")[0] in RULES:
        return make_rule(text)
    from policy.model.info import model_folder  # late: rules need no models

    folder = model_folder(text, "abr")
    if folder is not None:
        from policy.model.load import load_model

        return ModelAbr(load_model(folder, "auto", task="abr"))
    names = ", ".join(RULES)
    raise PolicyError(f"no policy {text!r}; give {names}, policy, or a checkpoint *.safetensors")


def load_checkpoint(path: Path) -> Abr:
    """A checkpoint as a policy: its exported file where there is one, which needs no PyTorch, else
    the network itself. Raises PolicyError.
    """
    portable = load_portable(path)
    if portable is not None:
        return portable
    try:
        from policy.tasks.abr.learned import load_policy
    except ImportError as error:
        raise PolicyError(
            f"abr {path}: a network that is not exported needs PyTorch ({error}); where PyTorch "
            f"is: tbtest models export {path}; here: pip install 'tbtest[policy]', or name a rule"
        ) from None
    return load_policy(path)


def policy_names(text: str) -> list[str]:
    """Splits at commas, except those before a further option: `mpc:horizon=8,factor=.9,bba`."""
    names: list[str] = []
    for part in filter(None, text.split(",")):
        if names and "=" in part and ":" not in part and ":" in names[-1]:
            names[-1] += "," + part
        else:
            names.append(part)
    return names


def compare(
    policies: Sequence[str],
    sessions: Callable[[], Sessions],
    recordings: Sequence[str],
    baseline: str | None = None,
) -> list[Row]:
    """One row per policy, in order. `sessions` makes the same fresh sessions each time;
    `recordings` names the recording of each session. Raises PolicyError.
    """
    if baseline is not None and baseline not in policies:
        raise PolicyError(f"the baseline {baseline} is none of the policies {', '.join(policies)}")
    made = {text: make_policy(text) for text in policies}
    played = {text: play(policy, sessions()) for text, policy in made.items()}
    return [_row(text, played, recordings, baseline) for text in policies]


def _row(
    text: str, played: Mapping[str, Played], recordings: Sequence[str], baseline: str | None
) -> Row:
    own = played[text]
    difference, interval = None, None
    if baseline is not None and text != baseline:
        pairs = own.qoe - played[baseline].qoe
        difference, interval = float(pairs.mean()), mean_ci95(pairs, recordings)
    return Row(
        text,
        len(own.qoe),
        len(set(recordings)),
        float(own.qoe.mean()),
        mean_ci95(own.qoe, recordings),
        float(np.percentile(own.qoe, 5)),
        float(own.bitrate_kbps.mean()),
        float(own.stall_ratio.mean()),
        float((own.stall_s / own.chunks).mean()),
        float(own.switches.mean()),
        difference,
        interval,
    )


def mean_ci95(values: Floats, recordings: Sequence[str]) -> tuple[float, float] | None:
    """95 % percentile-bootstrap interval of the mean: whole recordings are drawn, with all their
    slices.

    None from fewer than three recordings.
    """
    names, group = np.unique(np.asarray(recordings), return_inverse=True)
    if len(names) < 3:
        return None
    sums = np.bincount(group, weights=values)
    counts = np.bincount(group)
    chosen = np.random.Generator(np.random.PCG64(_SEED)).integers(
        0, len(names), size=(RESAMPLES, len(names))
    )
    means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
