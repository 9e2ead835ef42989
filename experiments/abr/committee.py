"""Makes one checkpoint of several small networks.

python -m experiments.abr.committee OUT.safetensors MEMBER.safetensors...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors import safe_open

from policy.errors import PolicyError
from policy.tasks.abr.committee import Committee
from policy.tasks.abr.learned import load_net, save_net
from policy.tasks.abr.model import LevelScorer

# What the header of a member says and that of the committee repeats.
NOTES = ("traces", "videos", "drawn", "evened", "method", "objective", "seed", "validation")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a checkpoint of several small networks.")
    parser.add_argument("out", type=Path)
    parser.add_argument("members", nargs="+", type=Path)
    args = parser.parse_args()
    members, notes = [], dict.fromkeys(NOTES, "")
    for file in args.members:
        net = load_net(file)
        if not isinstance(net, LevelScorer):
            raise PolicyError(f"{file}: only small networks are members of a committee")
        members.append(net)
        with safe_open(str(file), framework="pt") as opened:
            said = opened.metadata()
        for name in NOTES:
            notes[name] += ("; " if notes[name] else "") + said.get(name, "")
    save_net(Committee(members), args.out, notes)


if __name__ == "__main__":
    main()
