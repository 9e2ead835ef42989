"""Colours of figures."""

from __future__ import annotations

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#999999")
"""Okabe and Ito's: told apart by everyone, on light and on dark."""
