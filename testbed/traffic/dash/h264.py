"""A grey picture as H.264, and pictures that repeat it: the smallest video that a browser plays.

Baseline profile, CAVLC (ITU-T H.264 clauses 7.3 and 9.1): an IDR picture whose macroblocks are
predicted from nothing (all samples 128) without residual, then P pictures that skip them all.
"""

from __future__ import annotations

MACROBLOCKS_WIDE, MACROBLOCKS_HIGH = 4, 3
WIDTH, HEIGHT = 16 * MACROBLOCKS_WIDE, 16 * MACROBLOCKS_HIGH
CODEC = "avc1.42C00A"
_MACROBLOCKS = MACROBLOCKS_WIDE * MACROBLOCKS_HIGH
_FRAME_NUMBER_BITS = 4
_I16X16_DC = 3  # mb_type in an I slice: Intra_16x16, DC prediction, no coefficients


class _Bits:
    """A raw byte sequence payload, bit by bit."""

    def __init__(self) -> None:
        self._bits = ""

    def u(self, width: int, value: int) -> _Bits:
        """Unsigned, ``width`` bits."""
        self._bits += f"{value:0{width}b}"
        return self

    def ue(self, *values: int) -> _Bits:
        """Exp-Golomb codes."""
        for value in values:
            code = f"{value + 1:b}"
            self._bits += "0" * (len(code) - 1) + code
        return self

    def nal(self, header: int) -> bytes:
        """The NAL unit: stop bit, alignment, and emulation prevention bytes."""
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        raw = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
        out, zeros = bytearray([header]), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(out)


def sequence_parameters() -> bytes:
    """The SPS: profile 66, level 1.0; pictures are shown in the order of decoding."""
    bits = _Bits().u(8, 66).u(8, 0xC0).u(8, 10)
    # Id, bits of frame_num - 4, order count type 2, one reference picture.
    bits.ue(0, _FRAME_NUMBER_BITS - 4, 2, 1).u(1, 0)
    bits.ue(MACROBLOCKS_WIDE - 1, MACROBLOCKS_HIGH - 1)
    # Frames only, direct_8x8_inference, no cropping, no VUI.
    return bits.u(4, 0b1100).nal(0x67)


def picture_parameters() -> bytes:
    """The PPS: CAVLC, one slice group, default quantisation."""
    bits = _Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0)
    return bits.ue(0, 0, 0).u(3, 0).nal(0x68)


def grey_picture() -> bytes:
    """An IDR picture."""
    bits = _Bits().ue(0, 7, 0).u(_FRAME_NUMBER_BITS, 0).ue(0).u(2, 0).ue(0)
    for _ in range(_MACROBLOCKS):
        # Type, chroma prediction DC, no change of quantisation, no DC coefficients.
        bits.ue(_I16X16_DC, 0, 0).u(1, 1)
    return bits.nal(0x65)


def repeated_picture(number: int) -> bytes:
    """The ``number``-th picture after the IDR picture, from 1."""
    frame_number = number % 2**_FRAME_NUMBER_BITS
    bits = _Bits().ue(0, 5, 0).u(_FRAME_NUMBER_BITS, frame_number).u(3, 0).ue(0)
    return bits.ue(_MACROBLOCKS).nal(0x41)
