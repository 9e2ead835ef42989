"""The throughput rule, BOLA and dynamic against what Sabre printed for the same drawn material.

Recorded with `src/sabre.py` at 09b03bb of github.com/UMass-LIDS/sabre (Spiteri et al., MMSys 2018)
by the command of `experiments/abr/sabre.py`, which repeats the comparison on any traces.
"""

import numpy as np
import pytest

from experiments.abr.sabre import ours
from policy.tasks.abr.bandwidth import Bandwidth
from policy.tasks.abr.video import Video

# (seed, rule): levels of the 48 chunks, seconds of stall, seconds from first request to the end.
RECORDED = {
    (1, "throughput"): ("011111111112222223332122211111111111111111111222", 0.0, 193.281588),
    (1, "bola"): ("002222221232332221122121113122333333333333333333", 0.0, 193.281588),
    (1, "dynamic"): ("011111223232332221122121113122333333333333333333", 0.0, 193.281588),
    (2, "throughput"): ("000001111000000011100000000000000000000000000000", 0.0, 193.575803),
    (2, "bola"): ("001222012101100000000000000000110111112222222022", 2.24427, 195.820073),
    (2, "dynamic"): ("000022221110101000000000000000011011111222222221", 0.0, 193.575803),
    (3, "throughput"): ("011111111112221222222111111122222211100001111000", 0.0, 192.882131),
    (3, "bola"): ("002122213121121122111211113333333212122222222330", 0.0, 192.882131),
    (3, "dynamic"): ("011111122332121112112111123333333212122222222330", 0.0, 192.882131),
}


def drawn(seed: int) -> tuple[Video, Bandwidth]:
    rng = np.random.Generator(np.random.PCG64(seed))
    rates = np.array([300.0, 750.0, 1200.0, 1850.0, 2850.0, 4300.0])
    video = Video("drawn", 4000, rates, rates * 500 * (0.7 + 0.6 * rng.random((48, 1))))
    mbps = np.exp(np.cumsum(rng.random(150) * 0.8 - 0.4) * 0.6)
    return video, Bandwidth("drawn", np.arange(150.0), mbps)


@pytest.mark.parametrize(("seed", "rule"), RECORDED)
def test_every_level_and_the_totals_are_sabres(seed, rule):
    levels, stall_s, play_s = RECORDED[seed, rule]
    result = ours(rule, *drawn(seed))
    assert "".join(map(str, result.levels)) == levels
    # Sabre prints six decimals.
    assert result.stall_s == pytest.approx(stall_s, abs=1e-6)
    assert result.play_s == pytest.approx(play_s, abs=1e-6)
