"""The table of shares that were used on real TCP."""

from __future__ import annotations

from experiments.congestion.utilisation import Stretch, table


def test_a_share_is_held_against_the_better_rival_of_the_same_time() -> None:
    used = {"policy": (0.4, 0.8), "bbr": (0.8, 0.6), "cubic": (0.5, 0.9)}
    found = [
        Stretch(f"s{at}", "bulk", "first", 0, scheme, share)
        for scheme, shares in used.items()
        for at, share in enumerate(shares)
    ]
    # Only bbr and cubic ran this one, so that it does not count.
    found += [Stretch("s2", "bulk", "first", 0, scheme, 1.0) for scheme in ("bbr", "cubic")]
    (row,) = [line for line in table(found).splitlines() if "| policy |" in line]
    # Means .6, .7 and .7; the ratios are .4 / .8 and .8 / .9.
    assert row == "| bulk, first 10 s (2) | policy | 0.600 | 0.86 | 0.69 |"


def test_a_time_that_a_rival_never_had_has_no_row() -> None:
    found = [Stretch("s", "video", "after", 3, scheme, 1.0) for scheme in ("policy", "bbr")]
    assert "policy" not in table(found)
