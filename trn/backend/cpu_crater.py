"""How much every place looks like a bowl lit from one side, at every size: the CPU's way.

The image is brought to scales at which each radius asked for becomes BOWL_RADIUS_PX; there one
small odd kernel is correlated with it and divided by the local spread. The kernel is a unit
gradient across a disc, by which a bowl is bright away from the Sun and dark on the near side; its
parts along x and y are one kernel turned, so that any Sun is a sum of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import CraterPeaks
from trn.images import halved

BOWL_RADIUS_PX = 4.0
HALF_WIDTH = 6
SPREAD_FLOOR = 0.1
"""Of the whole image's spread; keeps faint texture from looking like anything."""
ROUNDING = 1e-6
"""Of the mean: less of a spread can be the rounding of floats."""
LEAST_SPREAD = 1e-12

# Weight of the gradient on rings of radius 0.3 to 1.45 (Gaussian, 0.22 wide), in rim radii: fitted
# to tell labelled craters from other peaks in renderings (logistic regression).
_RING_RADIUS = np.array([0.3, 0.6, 0.85, 1.05, 1.25, 1.45])
_RING_WEIGHT = np.array([-3.4, -10.24, -10.29, -4.56, 1.6, 4.18])
_RING_WIDTH = 0.22
_REACH = 1.5

RunParts = Callable[[int, Callable[[int, int], None], int], None]


@lru_cache(maxsize=1)
def bowl_kernel() -> NDArray[np.float32]:
    """The kernel's parts for light from +x and from +y, float32 (2, 13, 13), read-only.

    Scaled so that the response of a window equal to the kernel is 1.
    """
    y, x = np.mgrid[-HALF_WIDTH : HALF_WIDTH + 1, -HALF_WIDTH : HALF_WIDTH + 1].astype(np.float64)
    radius = np.hypot(x, y) / BOWL_RADIUS_PX
    ring = np.exp(-0.5 * ((radius[..., None] - _RING_RADIUS) / _RING_WIDTH) ** 2) @ _RING_WEIGHT
    ring = np.where(radius <= _REACH, ring, 0.0) / np.maximum(radius, 1e-9)
    # Blind to an even slope of brightness: the outer rings weigh up what the inner ones see of it.
    along = x * x * ring
    ring = np.where(ring > 0.0, ring * -along[ring < 0.0].sum() / along[ring > 0.0].sum(), ring)
    parts = np.stack([x * ring, y * ring]) / BOWL_RADIUS_PX
    parts /= math.sqrt(float((parts[0] ** 2).sum()) * x.size)
    kernel = np.asarray(parts, dtype=np.float32)
    kernel.setflags(write=False)
    return kernel


def kernel_for(sun_px: float | None) -> NDArray[np.float32]:
    """The kernel for light from an angle, float32 (1, 13, 13); its two parts where it is None."""
    kernel = bowl_kernel()
    if sun_px is None:
        return kernel
    return (math.cos(sun_px) * kernel[:1] + math.sin(sun_px) * kernel[1:]).astype(np.float32)


def brightness(image: NDArray[np.float32]) -> tuple[float, float]:
    """Mean of an image, and the least spread that a window of it is given."""
    means, deviation = cv2.meanStdDev(image)
    mean = float(means[0, 0])
    spread = max(SPREAD_FLOOR * float(deviation[0, 0]), ROUNDING * abs(mean), LEAST_SPREAD)
    return mean, spread


def scales_of(shape: tuple[int, ...], radii_px: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """(octave, rows, columns) of the scales where each radius is BOWL_RADIUS_PX.

    octave: the level of a pyramid of 2 x 2 means that the scale is sampled from. Ends before the
    first radius that is too large for the kernel to fit into its scale.
    """
    scales = []
    for radius_px in radii_px:
        shrink = max(float(radius_px) / BOWL_RADIUS_PX, 1e-6)
        octave = max(0, math.floor(math.log2(shrink) + 1e-9))
        rows, columns = (max(1, round(side / shrink)) for side in shape)
        if min(rows, columns) <= 2 * HALF_WIDTH:
            break
        scales.append((octave, rows, columns))
    return scales


def scaled(
    levels: list[NDArray[np.float32]], octave: int, rows: int, columns: int
) -> NDArray[np.float32]:
    """The image at one scale, sampled bilinearly from an octave of its pyramid of 2 x 2 means.

    levels: finest first; the next ones are made as they are needed.
    """
    while len(levels) <= octave:
        levels.append(halved(levels[-1]))
    source = levels[octave]
    if source.shape == (rows, columns):
        return source
    return np.asarray(cv2.resize(source, (columns, rows), interpolation=cv2.INTER_LINEAR))


def responses(
    image: NDArray[np.float32],
    radii_px: NDArray[np.float64],
    sun_px: float | None,
    run_parts: RunParts,
) -> list[NDArray[np.float32]]:
    """The response of each radius, (1 or 2, rows, columns) of its own scale, in about [-1, 1].

    With a Sun one part, the resemblance to a bowl under it; without, the parts for light from +x
    and from +y. None for an image that is not all finite.
    """
    mean, floor = brightness(image)
    if not math.isfinite(mean):
        return []
    levels = [np.asarray(image - np.float32(mean), dtype=np.float32)]
    kernel = kernel_for(sun_px)
    found = []
    for octave, rows, columns in scales_of(image.shape, radii_px):
        at_scale = scaled(levels, octave, rows, columns)
        padded = cv2.copyMakeBorder(
            at_scale, HALF_WIDTH, HALF_WIDTH, HALF_WIDTH, HALF_WIDTH, cv2.BORDER_REFLECT_101
        )
        out = np.empty((len(kernel), *at_scale.shape), dtype=np.float32)

        def work(start: int, stop: int, padded: Any = padded, out: Any = out) -> None:
            correlate_odd(padded, kernel, floor, start, stop, out)

        run_parts(at_scale.shape[0], work, 32)
        found.append(out)
    return found


def most_peaks(rows: int, columns: int) -> int:
    """Peaks of a scale that are kept, the first ones."""
    return rows * columns // 4 + 1


def peaks_of(
    found: list[NDArray[np.float64]],
    image_shape: tuple[int, ...],
    shapes: list[tuple[int, int]],
    radii_px: NDArray[np.float64],
    sun_px: float | None,
) -> CraterPeaks:
    """What find_peaks found in each scale, float64 (N, 5), as places in the image."""
    scale = np.repeat(np.arange(len(found)), [len(peaks) for peaks in found])
    every = np.concatenate([np.empty((0, 5)), *found])
    return placed_peaks(every, scale, image_shape, np.array(shapes), radii_px, sun_px)


def placed_peaks(
    found: NDArray[np.float64],
    scale: NDArray[np.int_],
    image_shape: tuple[int, ...],
    shapes: NDArray[np.int_],
    radii_px: NDArray[np.float64],
    sun_px: float | None,
) -> CraterPeaks:
    """Peaks as find_peaks leaves them, float64 (N, 5), of scales (N,), as places in the image.

    shapes: (scales, 2), rows and columns of each.
    """
    x, y, score, part_x, part_y = found.T
    # Without a scale there is no peak.
    rows, columns = shapes.reshape(-1, 2)[scale].T
    return CraterPeaks(
        (x + 0.5) * (image_shape[1] / columns) - 0.5,
        (y + 0.5) * (image_shape[0] / rows) - 0.5,
        radii_px[scale],
        np.ascontiguousarray(score),
        np.arctan2(part_y, part_x) if sun_px is None else np.full(len(x), sun_px),
    )


@njit(cache=True, nogil=True)
def correlate_odd(padded: Any, kernel: Any, floor: float, first: int, last: int, out: Any) -> None:
    """Rows first <= y < last of out (parts, rows, columns): odd kernels over the local spread.

    The spread is the standard deviation in the kernel's window, with floor^2 added to its square.
    Long loops run along rows, so that the compiler makes them vectors.
    """
    side = kernel.shape[1]
    half = side // 2
    columns = out.shape[2]
    total = np.empty(columns + side - 1, np.float32)
    square = np.empty(columns + side - 1, np.float32)
    mean = np.empty(columns, np.float32)
    spread = np.empty(columns, np.float32)
    count = np.float32(side * side)
    lift = np.float32(floor * floor)
    for y in range(first, last):
        total[:] = 0.0
        square[:] = 0.0
        for dy in range(side):
            line = padded[y + dy]
            for x in range(columns + side - 1):
                total[x] += line[x]
                square[x] += line[x] * line[x]
        mean[:] = 0.0
        spread[:] = 0.0
        for dx in range(side):
            for x in range(columns):
                mean[x] += total[x + dx]
                spread[x] += square[x + dx]
        for x in range(columns):
            m = mean[x] / count
            spread[x] = np.sqrt(max(spread[x] / count - m * m, np.float32(0.0)) + lift)
        for part in range(kernel.shape[0]):
            row = out[part, y]
            row[:] = 0.0
            for dy in range(half + 1):
                for dx in range(-half, half + 1):
                    weight = kernel[part, half + dy, half + dx]
                    if weight == 0.0 or (dy == 0 and dx <= 0):
                        continue
                    # The kernel is odd: the opposite sample has the opposite weight.
                    one = padded[y + half + dy, half + dx : half + dx + columns]
                    other = padded[y + half - dy, half - dx : half - dx + columns]
                    for x in range(columns):
                        row[x] += weight * (one[x] - other[x])
            for x in range(columns):
                row[x] /= spread[x]


@njit(cache=True, nogil=True)
def _strength(parts: Any, y: int, x: int) -> float:
    if parts.shape[0] == 1:
        return float(parts[0, y, x])
    return float(np.sqrt(parts[0, y, x] ** 2 + parts[1, y, x] ** 2))


@njit(cache=True, nogil=True)
def _highest_around(parts: Any, y: int, x: int) -> float:
    """Highest strength in the 3 x 3 pixels around a pixel, as far as they exist."""
    highest = -2.0
    for j in range(max(y - 1, 0), min(y + 2, parts.shape[1])):
        for i in range(max(x - 1, 0), min(x + 2, parts.shape[2])):
            highest = max(highest, _strength(parts, j, i))
    return highest


@njit(cache=True, nogil=True)
def _equalled_before(parts: Any, y: int, x: int) -> bool:
    """Whether a pixel before this one in its 3 x 3 is as strong: one peak a plateau's corner."""
    strength = _strength(parts, y, x)
    for j in range(max(y - 1, 0), y + 1):
        for i in range(max(x - 1, 0), min(x + 2, parts.shape[2])):
            if (j < y or i < x) and _strength(parts, j, i) == strength:
                return True
    return False


@njit(cache=True, nogil=True)
def find_peaks(below: Any, parts: Any, above: Any, least: float, out: Any) -> int:
    """Rows (x, y, strength, part x, part y) of the peaks of one scale; returns how many.

    A peak is no lower than its 8 neighbours and the 9 pixels around its place one scale up and
    down. `below` or `above` is `parts` itself where there is no such scale.
    """
    rows, columns = parts.shape[1], parts.shape[2]
    count = 0
    for y in range(rows):
        for x in range(columns):
            strength = _strength(parts, y, x)
            if strength < least or count >= out.shape[0]:
                continue
            if strength < _highest_around(parts, y, x) or _equalled_before(parts, y, x):
                continue
            y0 = min(int((y + 0.5) * below.shape[1] / rows), below.shape[1] - 1)
            x0 = min(int((x + 0.5) * below.shape[2] / columns), below.shape[2] - 1)
            if strength < _highest_around(below, y0, x0):
                continue
            y1 = min(int((y + 0.5) * above.shape[1] / rows), above.shape[1] - 1)
            x1 = min(int((x + 0.5) * above.shape[2] / columns), above.shape[2] - 1)
            if strength < _highest_around(above, y1, x1):
                continue
            out[count, 0] = x
            out[count, 1] = y
            out[count, 2] = strength
            out[count, 3] = parts[0, y, x]
            out[count, 4] = parts[parts.shape[0] - 1, y, x]
            count += 1
    return count
