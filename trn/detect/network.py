"""Craters found by a small neural network (`models/`), in an image at several scales.

The network was trained on renderings of our own simulator only; models/MODEL_CARD.md says how and
how good it is. Each 4 x 4 pixels answer for four places 2 px apart (models/net.py has the
layout). It knows craters of 8 to 64 px: larger ones are looked for in the image halved, quartered
and so on, so that one set of weights serves all sizes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trn.detect.ellipses import Ellipses, check_smallest, diameters, of_shape
from trn.detect.network_look import CELL_PX, Look
from trn.detect.network_model import Precision, Runtime, open_network
from trn.detect.network_refine import refined
from trn.errors import InputError

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

MOST_PIXELS = 20_000_000
SMALLEST_PX = 8.0
"""For smaller craters the image is enlarged until they are as wide."""
LEAST_SCORE = 0.4
PROPOSED_SCORE = 0.25
"""What is surer is given to the refiner, however sure that has to be in the end."""
MOST_ELLIPSES = 20_000

_PLACES, _FIELDS = 2, 6
_UNIT_PX = 8.0  # The size that the network's logarithm is of: sqrt(a b).

# Diameters (px of the level) taken from the full image and from smaller ones; bounds overlap,
# and of two finds of one crater the surer stays. A crater of 8 px may be found an eighth too small.
_LEAST_PX, _LEAST_COARSE_PX, _MOST_PX = 7.0, 16.0, 72.0
# Of what is given out, of the size asked for: half a pixel below 8.
_SIZE_SLACK = 0.9375

# Two finds are one crater where their centres are this share of the larger's diameter apart and
# their sizes this ratio.
_SAME_CENTRE, _SAME_SIZE = 0.25, 1.5


def detect_craters_network(
    image: NDArray[Any],
    *,
    smallest_px: float = SMALLEST_PX,
    least_score: float = LEAST_SCORE,
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    model: str | Path | None = None,
    provider: str | None = None,
) -> Ellipses:
    """Ellipses of crater rims, surest first, with score and covariance.

    image: (H, W), integer or float, finite; its tones matter only relative to each other.
    smallest_px: diameter from which craters are sought, 4 or more (finds may be 6 % smaller); below
    8 the image is enlarged, and takes as much longer as it has more pixels. least_score: 0 to 1;
    finds below are dropped.
    runtime, precision, model and provider as in `open_network`; both runtimes give the same
    ellipses. Raises InputError for an image that is none, or of more than MOST_PIXELS (enlarged),
    for numbers that cannot be used, and what `open_network` raises.
    """
    if not 0.0 <= least_score <= 1.0:
        raise InputError(f"least_score: {least_score} is not from 0 to 1")
    check_smallest(smallest_px)
    grey = standardised(image)
    seen = _enlarged(grey, smallest_px)
    network = open_network(runtime=runtime, precision=precision, model=model, provider=provider)
    look = network.look(seen)
    rows, covariance = proposed(look, min(PROPOSED_SCORE, least_score)), None
    if network.refine is not None:
        rows, covariance = refined(look, rows)
    kept = _without_twins(rows)
    wide, high = (float(a / b) for a, b in zip(seen.shape[::-1], grey.shape[::-1]))
    times = math.sqrt(wide * high)
    enough = diameters(rows[kept]) >= _SIZE_SLACK * smallest_px * times
    kept = kept[(rows[kept, 5] >= least_score) & enough]
    # Back to the image as it was given: x, y, a, b, theta.
    larger = np.array([wide, high, times, times, 1.0])
    corner = np.array([0.5, 0.5, 0.0, 0.0, 0.0])
    values = (rows[kept, :5] + corner) / larger - corner
    if covariance is not None:
        covariance = covariance[kept] / np.outer(larger, larger)
    return Ellipses.of(values, rows[kept, 5], covariance)


def proposed(look: Look, least_score: float) -> Array:
    """Rows x, y, a, b, theta, score of what the network itself finds, surest first."""
    shapes = look.shapes
    rows, columns = shapes[0]
    found = [np.empty((0, 6))]
    for shape, cells in zip(shapes, look.cells()):
        factor = np.array([columns / shape[1], rows / shape[0]])
        least = _LEAST_PX if shape == shapes[0] else _LEAST_COARSE_PX
        finds = _decoded(_places(cells), least_score, shape)
        diameter = diameters(finds)
        finds = finds[(diameter >= least) & (diameter <= _MOST_PX)]
        finds[:, :2] = (finds[:, :2] + 0.5) * factor - 0.5
        finds[:, 2:4] *= math.sqrt(factor[0] * factor[1])
        found.append(finds)
    joined = np.concatenate(found)
    return joined[_without_twins(joined)[:MOST_ELLIPSES]]


def standardised(image: NDArray[Any]) -> Array32:
    """The image with zero mean and unit variance; one grey level in 256 is the least variance."""
    given = np.asarray(image)
    if given.ndim != 2 or given.size == 0:
        raise InputError(f"image: shape {given.shape}; give one grey channel (height, width)")
    if given.dtype.kind not in "uif":
        raise InputError(f"image: pixels of type {given.dtype}; give integers or floats")
    if given.size > MOST_PIXELS:
        raise InputError(
            f"image: {given.shape[1]} x {given.shape[0]} pixels are more than {MOST_PIXELS}; "
            "cut it into tiles"
        )
    grey = given.astype(np.float32)
    if not np.isfinite(grey).all():
        raise InputError("image: has pixels that are not finite; fill them first")
    level = 1.0
    if given.dtype != np.uint8:
        low, high = float(grey.min()), float(grey.max())
        level = max((high - low) / 255.0, 1e-30)
    # Away from a common offset first: float32 holds no small variance about a large mean.
    grey -= np.float32(grey[0, 0])
    mean = grey.mean(dtype=np.float64)
    return np.asarray((grey - mean) / (grey.std(dtype=np.float64) + level), dtype=np.float32)


def _enlarged(grey: Array32, smallest_px: float) -> Array32:
    """The image, so large that craters of a size are as wide as the smallest that are known."""
    if smallest_px >= SMALLEST_PX:
        return grey
    rows, columns = (round(side * SMALLEST_PX / smallest_px) for side in grey.shape)
    if rows * columns > MOST_PIXELS:
        raise InputError(
            f"image: {columns} x {rows} pixels, enlarged for smallest_px {smallest_px:g}, are more "
            f"than {MOST_PIXELS}; cut it into tiles"
        )
    return np.asarray(cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_CUBIC))


def _places(cells: Array32) -> Array32:
    """The places that cells answer for, (6, H / 2, W / 2) and some beyond the border."""
    height, width = cells.shape[1:]
    places = cells.reshape(_PLACES, _PLACES, _FIELDS, height, width).transpose(2, 3, 0, 4, 1)
    return np.asarray(places.reshape(_FIELDS, _PLACES * height, _PLACES * width))


def _decoded(places: Array32, least_score: float, shape: tuple[int, ...]) -> Array:
    """Rows x, y, a, b, theta, score of the peaks of at least a score, in pixels of the level."""
    odds = places[0]
    with np.errstate(divide="ignore"):
        least = float(np.log(least_score) - np.log1p(-least_score))
    peak = (odds >= least) & (odds >= cv2.dilate(odds, np.ones((3, 3), np.uint8)))
    row, column = np.nonzero(peak)
    # Each place around a peak says where the centre is: their mean, by odds, is steadier than one.
    around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 2)
    rows = np.clip(row + around[:, :1], 0, odds.shape[0] - 1)
    columns = np.clip(column + around[:, 1:], 0, odds.shape[1] - 1)
    told = places[:, rows, columns].astype(np.float64)
    share = 1.0 / (1.0 + np.exp(-told[0]))
    share /= share.sum(axis=0)
    step = CELL_PX / _PLACES
    x = (((columns + 0.5) * step - 0.5 + told[1]) * share).sum(axis=0)
    y = (((rows + 0.5) * step - 0.5 + told[2]) * share).sum(axis=0)
    size, *shape_told = (told[3:] * share).sum(axis=1)
    radius = _UNIT_PX * np.exp(np.clip(size, -3.0, 5.0))
    score = 1.0 / (1.0 + np.exp(-odds[row, column].astype(np.float64)))
    ellipses = of_shape(np.column_stack([x, y]), radius, np.column_stack(shape_told))
    found = np.column_stack([ellipses, score])
    inside = (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)
    return np.asarray(found[inside & np.isfinite(found).all(axis=1)])


def _without_twins(rows: Array) -> NDArray[np.intp]:
    """Which rows are the surest find of their crater, surest first."""
    order = np.argsort(-rows[:, 5], kind="stable")
    if len(rows) < 2:
        return order
    rows = rows[order]
    diameter = diameters(rows)
    near = cKDTree(rows[:, :2]).query_ball_point(rows[:, :2], _SAME_CENTRE * diameter)
    keep = np.ones(len(rows), bool)
    # A pair is seen from its larger one; the surer of two that stay drops the other.
    pairs = sorted(
        (min(i, j), max(i, j))
        for i, others in enumerate(near)
        for j in others
        if i != j and max(diameter[i], diameter[j]) < _SAME_SIZE * min(diameter[i], diameter[j])
    )
    for surer, other in pairs:
        if keep[surer]:
            keep[other] = False
    return order[keep]
