"""The table of commands that the datapath reads on each ACK, one entry per slot, written for many
flows at once.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class CommandTable:
    """table: writable array of `layout.COMMAND`, indexed by slot (the mmapped map, or any array in
    tests).
    """

    def __init__(self, table: npt.NDArray[np.void]) -> None:
        self._rate = table["pacing_rate_Bps"]
        self._cwnd = table["cwnd_packets"]
        self._generation = table["generation"]
        self._sequence = table["sequence"]

    def write(
        self, slots: Integers, generations: Integers, pacing_rate_bps: Floats, cwnd_packets: Floats
    ) -> None:
        """Command the flows at `slots`; all arrays are of the same length, values finite.

        Rate and cwnd are two words, guarded by a sequence lock: the sequence is odd while they
        change and another one afterwards, so that the datapath, which compares it before and after,
        never takes half a command (it keeps the one it has). An odd one that a killed agent left
        behind counts as begun. Rates below 8 bit/s become 8 bit/s: zero means "no command" to the
        datapath, and its own clamps are higher anyway.
        """
        writing = self._sequence[slots] | 1
        self._sequence[slots] = writing
        self._rate[slots] = np.maximum(pacing_rate_bps / 8, 1).astype(np.uint64)
        self._cwnd[slots] = np.clip(np.rint(cwnd_packets), 1, 2**31).astype(np.uint32)
        self._generation[slots] = generations
        self._sequence[slots] = writing + 1
