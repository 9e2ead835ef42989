"""CUBIC's window over time (RFC 9438), for a model of the kernel's controller and for flows that
compete with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BETA = 0.7
"""What a loss leaves of cwnd (4.6)."""
_C = 0.4  # packets / s³ (4.1)


def cubic_window(w_max: Floats, since_loss_s: Floats) -> Floats:
    """W_cubic(t) = C (t - K)³ + W_max with K = cbrt(W_max (1 - beta) / C) (4.2), in packets; [n]
    each.
    """
    window: Floats = _C * (since_loss_s - np.cbrt(w_max * (1 - BETA) / _C)) ** 3 + w_max
    return window
