"""What the FPGA core computes, to the bit: zero-mean NCC in integers, compared without a divider.

The core (kernels/fpga/) searches one template of N x N levels in one window. Of every placement it
forms, with sums over the N x N pixels,

    numerator = N^2 sum(T I) - sum(T) sum(I),    energy = N^2 sum(I^2) - sum(I)^2,

so that the NCC is numerator / sqrt(energy * template energy) (Lewis 1995, *Fast normalized
cross-correlation*). Placements are ranked by numerator^2 / energy, compared by
cross-multiplication; one that correlates negatively, or whose window is constant, counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[np.uint8]

BITS = 8
FULL_SCALE_SIGMAS = 4.0
"""Levels of a frame span its mean plus and minus this many standard deviations."""
MOST_SIDE_PX = 45
"""Largest template: beyond it energies of 8-bit pixels may pass the core's 36 bits."""
_NEARLY = 1.0 - 1e-13
"""Ratios in float64 are good to 4e-16; what is as near as this is compared exactly."""


@dataclass(frozen=True, eq=False)
class CoreResult:
    """What the core says about one search.

    found: whether any placement correlates positively; all else is zero if none does. x, y: the
    best one, the first in order of rows if several are equal. numerators, energies: int64 (3, 3),
    around it, zero beyond the border. second_numerator, second_energy: of the best placement
    further than the exclusion away; zero if none there correlates positively.
    """

    found: bool
    x: int
    y: int
    numerators: NDArray[np.int64]
    energies: NDArray[np.int64]
    second_numerator: int
    second_energy: int


def frame_levels(image: NDArray[np.float32], bits: int = BITS) -> Levels:
    """A frame as whole levels 0 to 2^bits - 1; its mean falls in the middle.

    image: float32 (height, width); what is not finite takes the mean. A constant one has one level.
    """
    known = np.isfinite(image)
    values = image[known] if not known.all() else image
    mean, spread = (float(values.mean()), float(values.std())) if known.any() else (0.0, 0.0)
    middle = 2 ** (bits - 1)
    gain = middle / (FULL_SCALE_SIGMAS * spread) if spread > 0.0 else 0.0
    deviation = np.where(known, image - np.float32(mean), np.float32(0))
    levels = np.clip(np.rint(middle + gain * deviation), 0, 2**bits - 1)
    return np.asarray(levels, dtype=np.uint8)


def template_levels(template: NDArray[np.float32], bits: int = BITS) -> Levels:
    """A template as whole levels that use the full range; NCC does not feel gain and offset.

    template: float32 (N, N), finite. A constant template is all zero.
    """
    low, high = float(template.min()), float(template.max())
    if not high > low:
        return np.zeros(template.shape, dtype=np.uint8)
    levels = np.rint((template - low) * ((2**bits - 1) / (high - low)))
    return np.asarray(levels, dtype=np.uint8)


def template_energy(template: Levels) -> int:
    """N^2 sum(T^2) - sum(T)^2 of a template."""
    levels = template.astype(np.int64)
    return int(levels.size * (levels * levels).sum() - levels.sum() ** 2)


def placements(window: Levels, template: Levels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numerator and energy of every placement, int64 (rows, columns) each.

    window: (height, width). template: (N, N), N at most MOST_SIDE_PX and within the window.
    """
    size = template.shape[0]
    levels = window.astype(np.int64)
    count = size * size
    sums = _box_sums(levels, size)
    products = _products(window.astype(np.int32), template.astype(np.int32))
    numerators = count * products.astype(np.int64) - int(template.sum(dtype=np.int64)) * sums
    return numerators, count * _box_sums(levels * levels, size) - sums * sums


def search(window: Levels, template: Levels, exclusion: int) -> CoreResult:
    """Best and second-best placement of a template in a window, as the core finds them.

    exclusion: distance along an axis, in pixels, within which a placement belongs to the best one.
    """
    return ranked(*placements(window, template), exclusion)


def ranked(
    numerators: NDArray[np.int64], energies: NDArray[np.int64], exclusion: int
) -> CoreResult:
    """What the core says where placements have these numerators and energies."""
    columns = numerators.shape[1]
    first = _best(numerators, energies)
    if first is None:
        nothing = np.zeros((3, 3), np.int64)
        return CoreResult(False, 0, 0, nothing, nothing, 0, 0)
    y, x = divmod(first, columns)
    elsewhere = numerators.copy()
    elsewhere[
        max(0, y - exclusion) : y + exclusion + 1, max(0, x - exclusion) : x + exclusion + 1
    ] = 0
    second = _best(elsewhere, energies)
    around = np.s_[y : y + 3, x : x + 3]
    return CoreResult(
        True, x, y, np.pad(numerators, 1)[around], np.pad(energies, 1)[around],
        0 if second is None else int(numerators.flat[second]),
        0 if second is None else int(energies.flat[second]),
    )  # fmt: skip


def _best(numerators: NDArray[np.int64], energies: NDArray[np.int64]) -> int | None:
    """Index of the first of the highest numerator^2 / energy among positive numerators."""
    positive = np.flatnonzero(numerators > 0)
    if positive.size == 0:
        return None
    # A positive numerator has a positive energy (Cauchy-Schwarz).
    ratio = numerators.flat[positive].astype(np.float64) ** 2 / energies.flat[positive]
    best: int | None = None
    square, energy = 0, 1
    for index in positive[ratio >= _NEARLY * ratio.max()]:
        candidate, its_energy = int(numerators.flat[index]) ** 2, int(energies.flat[index])
        if candidate * energy > square * its_energy:
            best, square, energy = int(index), candidate, its_energy
    return best


def _box_sums(values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sums over every size x size box."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(values, axis=0), axis=1, out=total[1:, 1:])
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


@njit(cache=True, nogil=True)
def _products(window: NDArray[np.int32], template: NDArray[np.int32]) -> NDArray[np.int32]:
    """sum(T I) of every placement: at most 45^2 255^2, which 32 bits hold."""
    size = template.shape[0]
    rows = window.shape[0] - size + 1
    columns = window.shape[1] - size + 1
    out = np.zeros((rows, columns), dtype=np.int32)
    for y in range(rows):
        total = out[y]
        for i in range(size):
            line = window[y + i]
            for j in range(size):
                level = template[i, j]
                for x in range(columns):
                    total[x] += level * line[x + j]
    return out
