"""Craters cut out of an image, each stretched to a circle of one size.

A crop spans two diameters of its ellipse: however large that is, and however aslant it is seen, it
is the circle around the crop's middle whose diameter is half the crop's side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Shape = tuple[int, int]

CROP_PX = 32
DIAMETERS = 2.0
"""Side of a crop, in pixels and in diameters of its crater."""

LEAST_SIDE_PX = 32

_LEAST_SPREAD = 0.01
"""What is flatter, of the image's own standard deviation, is not stretched to full contrast."""


def level_shapes(shape: Shape) -> list[Shape]:
    """Rows and columns of an image and of itself made smaller by halves, down to LEAST_SIDE_PX."""
    shapes = [shape]
    while True:
        half = round(shapes[-1][0] / 2), round(shapes[-1][1] / 2)
        if min(half) < LEAST_SIDE_PX:
            return shapes
        shapes.append(half)


def halved(image: Array32) -> list[Array32]:
    """The image (H, W) and itself made smaller, of `level_shapes`."""
    levels = [image]
    for rows, columns in level_shapes((image.shape[0], image.shape[1]))[1:]:
        half = cv2.resize(levels[-1], (columns, rows), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, dtype=np.float32))
    return levels


def frames(ellipses: Array) -> Array:
    """Matrices (N, 2, 2) from a crop's plane, in diameters from its middle, to pixels.

    ellipses: (N, 5) x, y, a, b, theta. Symmetric: they stretch and do not turn.
    """
    _, _, a, b, theta = ellipses.T
    c, s = np.cos(theta), np.sin(theta)
    across = c * s * (a - b)
    rows = [c * c * a + s * s * b, across, across, s * s * a + c * c * b]
    return 2.0 * np.stack(rows, axis=-1).reshape(-1, 2, 2)


def cut(levels: Sequence[Array32], centres: Array, to_pixels: Array) -> Array32:
    """Crops (N, 1, CROP_PX, CROP_PX) of zero mean and unit variance.

    levels: of an image of zero mean and unit variance, as `halved` has them.
    centres: (N, 2) pixels of the image; to_pixels: (N, 2, 2), as `frames` has them. Each crop is
    of the level where its pixels are nearest to the crop's own; past the border pixels repeat.
    """
    out = np.empty((len(centres), 1, CROP_PX, CROP_PX), np.float32)
    for index, of, middles, matrices in _by_level([each.shape for each in levels], centres,
                                                  to_pixels):  # fmt: skip
        _sample(levels[index], middles, matrices, of, out)
    return out


def cut_by_arrays(levels: Sequence[Any], centres: Array, to_pixels: Array, module: Any) -> Any:
    """As `cut`, for levels in the memory of CuPy or NumPy, which module is, and crops there."""
    out = module.empty((len(centres), 1, CROP_PX, CROP_PX), dtype=np.float32)
    steps = (np.arange(CROP_PX) - 0.5 * (CROP_PX - 1)) * (DIAMETERS / CROP_PX)
    plane = module.asarray(np.stack(np.meshgrid(steps, steps)).reshape(2, -1))
    for index, of, middles, matrices in _by_level([each.shape for each in levels], centres,
                                                  to_pixels):  # fmt: skip
        rows, columns = levels[index].shape
        pixels = module.asarray(matrices) @ plane + module.asarray(middles)[:, :, None]
        x = module.clip(pixels[:, 0], 0.0, columns - 1.0)
        y = module.clip(pixels[:, 1], 0.0, rows - 1.0)
        x0 = module.clip(x.astype(np.int64), 0, max(columns - 2, 0))
        y0 = module.clip(y.astype(np.int64), 0, max(rows - 2, 0))
        x1, y1 = module.minimum(x0 + 1, columns - 1), module.minimum(y0 + 1, rows - 1)
        p, q = x - x0, y - y0
        level = levels[index]
        above = (1.0 - p) * level[y0, x0] + p * level[y0, x1]
        below = (1.0 - p) * level[y1, x0] + p * level[y1, x1]
        value = (1.0 - q) * above + q * below
        value -= value.mean(axis=1, keepdims=True)
        value /= module.sqrt((value * value).mean(axis=1, keepdims=True)) + _LEAST_SPREAD
        out[module.asarray(of)] = value.reshape(-1, 1, CROP_PX, CROP_PX).astype(np.float32)
    return out


def _by_level(
    shapes: Sequence[tuple[int, ...]], centres: Array, to_pixels: Array
) -> Iterator[tuple[int, NDArray[np.intp], Array, Array]]:
    """Of each level that crops are cut from: its index, which crops, their middles and matrices."""
    step = DIAMETERS / CROP_PX * np.sqrt(np.abs(np.linalg.det(to_pixels)))
    nearest = np.rint(np.log2(np.maximum(step, 1.0))).astype(int)
    chosen = np.minimum(nearest, len(shapes) - 1)
    for index in np.unique(chosen):
        of = np.flatnonzero(chosen == index)
        shrunk = np.array(shapes[index][::-1]) / shapes[0][::-1]
        yield int(index), of, (centres[of] + 0.5) * shrunk - 0.5, shrunk[:, None] * to_pixels[of]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sample(level: Any, middles: Any, to_pixels: Any, of: Any, out: Any) -> None:
    """Fill crops `of` from a level, bilinear, and bring each to zero mean and unit variance."""
    rows, columns = level.shape
    side = out.shape[2]
    step = DIAMETERS / side
    for k in range(len(of)):
        crop = out[of[k], 0]
        (xx, xy), (yx, yy) = to_pixels[k]
        total = squares = 0.0
        for j in range(side):
            v = (j - 0.5 * (side - 1)) * step
            for i in range(side):
                u = (i - 0.5 * (side - 1)) * step
                x = min(max(middles[k, 0] + xx * u + xy * v, 0.0), columns - 1.0)
                y = min(max(middles[k, 1] + yx * u + yy * v, 0.0), rows - 1.0)
                x0, y0 = max(min(int(x), columns - 2), 0), max(min(int(y), rows - 2), 0)
                p, q = x - x0, y - y0
                x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
                above = (1.0 - p) * level[y0, x0] + p * level[y0, x1]
                below = (1.0 - p) * level[y1, x0] + p * level[y1, x1]
                value = (1.0 - q) * above + q * below
                crop[j, i] = value
                total += value
                squares += value * value
        mean = total / side**2
        spread = math.sqrt(max(squares / side**2 - mean * mean, 0.0)) + _LEAST_SPREAD
        for j in range(side):
            for i in range(side):
                crop[j, i] = (crop[j, i] - mean) / spread
