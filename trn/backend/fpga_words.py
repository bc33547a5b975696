"""What goes into the FPGA core and what comes out, as its streams carry it (docs/fpga.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.backend.fixed_point import CoreResult, Levels

RESULT_WORDS = 21
"""64-bit words a landmark: the header, nine placements around the best, the second best."""


def pixels_of(template: Levels, window: Levels) -> Levels:
    """The bytes of one landmark: the template column by column, the window row by row."""
    return np.concatenate([template.T.ravel(), window.ravel()])


def result_of(words: NDArray[np.uint64]) -> CoreResult:
    """What the core says about one landmark, from its first RESULT_WORDS words.

    Header: x in bits 15-0, y in 31-16, found in 32, a second one found in 33. Then numerator and
    energy of the 3 x 3 placements around the best, row by row, and of the second best.
    """
    header = int(words[0])
    numerators, energies = placements_of(words[1:RESULT_WORDS])
    return CoreResult(
        bool(header >> 32 & 1),
        header & 0xFFFF,
        header >> 16 & 0xFFFF,
        numerators[:9].reshape(3, 3),
        energies[:9].reshape(3, 3),
        int(numerators[9]),
        int(energies[9]),
    )


def placements_of(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numerators and energies from words in which they alternate."""
    values = words.view(np.int64)
    return values[0::2].copy(), values[1::2].copy()
