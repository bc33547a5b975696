"""Craters found by a small neural network (`models/`), in an image at several scales.

The network was trained on renderings of our own simulator only; models/MODEL_CARD.md says how and
how good it is. Each 4 x 4 pixels answer for four places 2 px apart (models/net.py has the
layout). It knows craters of 8 to 64 px: larger ones are looked for in the image halved, quartered
and so on, so that one set of weights serves all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trn.detect.ellipses import Ellipses
from trn.detect.network_model import CELL_PX, Network, Precision, Runtime, open_network
from trn.errors import InputError

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Shape = tuple[int, int]

MOST_PIXELS = 20_000_000
LEAST_SCORE = 0.4
MOST_ELLIPSES = 20_000

_PLACES, _FIELDS = 2, 6
_UNIT_PX = 8.0  # The size that the network's logarithm is of: sqrt(a b).
_MULTIPLE = 16
_LEAST_LEVEL_SIDE = 32

# Diameters (px of the level) taken from the full image and from smaller ones; bounds overlap,
# and of two finds of one crater the surer stays. A crater of 8 px may be found an eighth too small.
_LEAST_PX, _LEAST_COARSE_PX, _MOST_PX = 7.0, 16.0, 72.0
_MOST_STRETCH = math.log(4.0)

# Two finds are one crater where their centres are this share of the larger's diameter apart and
# their sizes this ratio.
_SAME_CENTRE, _SAME_SIZE = 0.25, 1.5

# Standard deviations: a floor in pixels, a share of the diameter, and more for a poor score; of
# the centre, of the radius sqrt(a b), and of the radius times each component of the shape.
# Fitted on renderings of the regions trained on (python -m models.measure).
_CENTRE_SPREAD = 0.045, 0.0092, 0.1046
_RADIUS_SPREAD = 0.02, 0.0150, 0.0859
_SHAPE_SPREAD = 0.02, 0.0129, 0.0306
_MOST_TURN = math.pi / math.sqrt(12.0)


def detect_craters_network(
    image: NDArray[Any],
    *,
    least_score: float = LEAST_SCORE,
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    model: str | Path | None = None,
    provider: str | None = None,
) -> Ellipses:
    """Ellipses of crater rims of 8 px and more, surest first, with score and covariance.

    image: (H, W), integer or float, finite; its tones matter only relative to each other.
    least_score: 0 to 1; finds below are dropped. runtime, precision, model and provider as in
    `open_network`; both runtimes give the same ellipses. Raises InputError for an image that is
    none, or of more than MOST_PIXELS, and what `open_network` raises.
    """
    if not 0.0 <= least_score <= 1.0:
        raise InputError(f"least_score: {least_score} is not from 0 to 1")
    grey = _grey(image)
    network = open_network(runtime=runtime, precision=precision, model=model, provider=provider)
    found = [np.empty((0, 6))]
    shapes = _level_shapes(grey.shape)
    for shape, cells in zip(shapes, _answers(network, grey, shapes)):
        factor = np.array([grey.shape[1] / shape[1], grey.shape[0] / shape[0]])
        least = _LEAST_PX if shape == grey.shape else _LEAST_COARSE_PX
        rows = _decoded(_places(cells), least_score, shape)
        diameter = 2.0 * np.sqrt(rows[:, 2] * rows[:, 3])
        rows = rows[(diameter >= least) & (diameter <= _MOST_PX)]
        rows[:, :2] = (rows[:, :2] + 0.5) * factor - 0.5
        rows[:, 2:4] *= math.sqrt(factor[0] * factor[1])
        found.append(rows)
    rows = _without_twins(np.concatenate(found))[:MOST_ELLIPSES]
    return Ellipses.of(rows[:, :5], rows[:, 5], _covariance(rows))


def _grey(image: NDArray[Any]) -> Array32:
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


def _level_shapes(shape: tuple[int, ...]) -> list[Shape]:
    """Rows and columns of the image and of each smaller one that craters are looked for in."""
    shapes = [(shape[0], shape[1])]
    while True:
        half = round(shapes[-1][0] / 2), round(shapes[-1][1] / 2)
        if min(half) < _LEAST_LEVEL_SIDE:
            return shapes
        shapes.append(half)


def _answers(network: Network, grey: Array32, shapes: list[Shape]) -> Iterator[Array32]:
    """What the network says of each level, (channels, rows, columns) of cells.

    Levels are made where the network runs; where a GPU fails them the host takes over.
    """
    if network.bound is not None:
        answers = network.bound.answers(grey, shapes, _MULTIPLE)
        if answers is not None:
            yield from answers
            return
    level = grey
    for rows, columns in shapes:
        if level.shape != (rows, columns):
            half = cv2.resize(level, (columns, rows), interpolation=cv2.INTER_AREA)
            level = np.asarray(half, dtype=np.float32)
        padded = cv2.copyMakeBorder(
            level, 0, -rows % _MULTIPLE, 0, -columns % _MULTIPLE, cv2.BORDER_REFLECT
        )
        yield network.run(np.ascontiguousarray(padded[None, None]))[0]


def _places(cells: Array32) -> Array32:
    """The places that cells answer for, (6, H / 2, W / 2) and some beyond the border."""
    height, width = cells.shape[1:]
    places = cells.reshape(_PLACES, _PLACES, _FIELDS, height, width).transpose(2, 3, 0, 4, 1)
    return np.asarray(places.reshape(_FIELDS, _PLACES * height, _PLACES * width))


def _decoded(places: Array32, least_score: float, shape: tuple[int, int]) -> Array:
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
    size, along, across = (told[3:] * share).sum(axis=1)
    radius = _UNIT_PX * np.exp(np.clip(size, -3.0, 5.0))
    stretch = np.minimum(np.hypot(along, across), _MOST_STRETCH)
    theta = 0.5 * np.arctan2(across, along)
    score = 1.0 / (1.0 + np.exp(-odds[row, column].astype(np.float64)))
    found = np.column_stack(
        [x, y, radius * np.exp(0.5 * stretch), radius * np.exp(-0.5 * stretch), theta, score]
    )
    inside = (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)
    return np.asarray(found[inside & np.isfinite(found).all(axis=1)])


def _without_twins(rows: Array) -> Array:
    """The surest of all finds of each crater, surest first."""
    rows = rows[np.argsort(-rows[:, 5], kind="stable")]
    if len(rows) < 2:
        return rows
    diameter = 2.0 * np.sqrt(rows[:, 2] * rows[:, 3])
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
    return rows[keep]


def _covariance(rows: Array) -> Array:
    """Covariances (N, 5, 5) of x, y, a, b, theta, from size, shape and score.

    a = r exp(s / 2), b = r exp(-s / 2) and theta come from the radius r and the vector
    s (cos 2 theta, sin 2 theta), whose errors are independent.
    """
    a, b, score = rows[:, 2], rows[:, 3], rows[:, 5]
    radius = np.sqrt(a * b)

    def spread(floor: float, share: float, doubt: float) -> Array:
        return np.asarray(floor + 2.0 * radius * (share + doubt * (1.0 - score)))

    centre, size, shape = (
        spread(*each) for each in (_CENTRE_SPREAD, _RADIUS_SPREAD, _SHAPE_SPREAD)
    )
    own, common = size**2 + 0.25 * shape**2, size**2 - 0.25 * shape**2
    # Nearly round: any angle will do, even over half a turn.
    stretch = np.maximum(np.log(a / b), 1e-9)
    turn = np.minimum(_MOST_TURN, 0.5 * shape / (radius * stretch))
    out = np.zeros((len(rows), 5, 5))
    out[:, 0, 0] = out[:, 1, 1] = centre**2
    out[:, 2, 2], out[:, 3, 3] = own * a / b, own * b / a
    out[:, 2, 3] = out[:, 3, 2] = common
    out[:, 4, 4] = turn**2
    return out
