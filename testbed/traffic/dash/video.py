"""The video that is streamed where the user names none."""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.video import Video

# The ladder that the field's comparisons use (Mao et al., SIGCOMM 2017).
_BITRATES_KBPS = (300.0, 750.0, 1200.0, 1850.0, 2850.0, 4300.0)
_CHUNKS, _CHUNK_MS = 48, 4000.0
# Sizes of real encodings at a constant target vary by about a tenth.
_SIZE_SD, _SEED = 0.1, 1


def default_video() -> Video:
    """48 chunks of 4 s; sizes vary around the nominal rates, at all levels of a chunk alike."""
    rates = np.array(_BITRATES_KBPS)
    noise = np.random.Generator(np.random.PCG64(_SEED)).normal(0.0, _SIZE_SD, _CHUNKS)
    factor = np.exp(noise - _SIZE_SD**2 / 2)
    sizes_bytes = np.rint(np.outer(factor, rates * _CHUNK_MS / 8))
    return Video("generated", _CHUNK_MS, rates, sizes_bytes)
