"""Craters of one image: bowls lit from one side, their rims as ellipses.

    image -> response to a bowl, over place and size -> light, where not given -> rims near the
    peaks -> shape that all share -> rims again, knowing it -> score -> one ellipse a place

The kernel's rings and the score are fitted to renderings; no real image was used for either.
Made for cratered ground under one Sun. Where the Sun is higher than about 60 degrees, or stands
behind the camera, bowls have no light and dark side and little is found.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import Backend, CraterPeaks
from trn.backend.select import select_backend
from trn.detect.confidence import confidence
from trn.detect.ellipses import Ellipses, check_smallest
from trn.detect.foreshortening import FIRST_SIGMA, OWN_SIGMA, placed, shared_shape
from trn.detect.light import sun_from_peaks
from trn.detect.rim import FEATURES, Rims, fit_rims
from trn.detect.suppress import suppress
from trn.errors import InputError
from trn.images import halved

Array = NDArray[np.float64]

SMALLEST_PX = 8.0
LARGEST_SHARE = 1.0 / 3.0
LEAST_SCORE = 0.4
"""Where precision and recall on renderings are about worth each other (bench.craters rendered)."""

SIZES_AN_OCTAVE = 3
LEAST_RESPONSE = 0.4
_LIGHT_SMALLEST_PX = 10.0, 14.0
_LIGHT_SMALLEST_SHARE = 1.0 / 64.0
"""Of the shorter side: a large image has craters enough to leave the smaller ones out."""
_SHAPE_MOST = 300
_SHAPE_LEAST_AGREEING = 0.7
_MOST_OVERLAP = 0.4
_LEAST_AXES_RATIO = 1.0 / 3.0
_SIZE_SLACK = 0.9
"""Rims may come out smaller than the peaks they were sought at."""
_LEAST_SIDE_PX = 16


def detect_craters(
    image: NDArray[Any],
    *,
    sun_px: float | None = None,
    smallest_px: float = SMALLEST_PX,
    largest_px: float | None = None,
    least_score: float = LEAST_SCORE,
    backend: Backend | str = "auto",
) -> Ellipses:
    """Craters of an image, surest first, each with its covariance; none where there are none.

    image: (height, width), 8- or 16-bit or float; what is not finite counts as the mean. sun_px:
    angle in the image that the light comes from, radians from +x towards +y; estimated from the
    image where it is not given. smallest_px, largest_px: diameters sought (a third of the shorter
    side). least_score: the score is about the chance that a crater is there (by renderings).
    Deterministic. Raises InputError for an image or numbers that cannot be used.
    """
    _check(image, sun_px, smallest_px, largest_px, least_score)
    used = select_backend(backend) if isinstance(backend, str) else backend
    rims = find_rims(image, sun_px, smallest_px, largest_px, used)
    score = confidence(rims.features)
    sure = score >= least_score
    rims, score = rims.chosen(sure), score[sure]
    kept = suppress(rims.values, score, _MOST_OVERLAP)
    return Ellipses.of(rims.values[kept], score[kept], rims.covariance[kept])


def find_rims(
    image: NDArray[Any],
    sun_px: float | None,
    smallest_px: float,
    largest_px: float | None,
    backend: Backend,
) -> Rims:
    """Every rim near a peak of the response, sure or not, several for one crater.

    The features of `fit_rims` are followed by the peak's response and the log of its radius.
    """
    pixels = normalised(image)
    if min(pixels.shape) < _LEAST_SIDE_PX or not pixels.any():
        return _none()
    most_px = LARGEST_SHARE * min(pixels.shape) if largest_px is None else largest_px
    handle = backend.load_image(pixels)
    if sun_px is None:
        light_px = float(np.clip(_LIGHT_SMALLEST_SHARE * min(pixels.shape), *_LIGHT_SMALLEST_PX))
        light = _radii(min(light_px, most_px), most_px)
        sun_px = sun_from_peaks(backend.crater_response(handle, light, None, LEAST_RESPONSE))
    peaks = backend.crater_response(handle, _radii(smallest_px, most_px), sun_px, LEAST_RESPONSE)
    if len(peaks) == 0:
        return _none()
    rims = _refined(pyramid(pixels), peaks, sun_px)
    a, b = np.maximum(*rims.values[:, 2:4].T), np.minimum(*rims.values[:, 2:4].T)
    diameter = 2.0 * np.sqrt(a * b)
    with np.errstate(invalid="ignore"):
        good = (b > _LEAST_AXES_RATIO * a) & (diameter >= _SIZE_SLACK * smallest_px)
        good &= diameter <= most_px / _SIZE_SLACK
        good &= np.isfinite(rims.covariance).all(axis=(1, 2))
    return rims.chosen(good)


def _refined(levels: list[NDArray[np.float32]], peaks: CraterPeaks, sun_px: float) -> Rims:
    """A rim for each peak: first those of the strongest, for the shape that all share."""
    circles = np.column_stack([peaks.x, peaks.y, peaks.radius_px])
    strongest = np.argsort(-peaks.score, kind="stable")[:_SHAPE_MOST]
    size = levels[0].shape[0], levels[0].shape[1]
    first = fit_rims(
        levels, circles[strongest], sun_px, 1.0, np.zeros((len(strongest), 2)), FIRST_SIGMA
    )
    telling = np.isfinite(first.values).all(axis=1)
    telling &= first.features[:, FEATURES - 3] > _SHAPE_LEAST_AGREEING
    coefficients = shared_shape(first.chosen(telling), size)
    expected = placed(circles[:, :2], size) @ coefficients
    rims = fit_rims(levels, circles, sun_px, 1.0, expected, OWN_SIGMA)
    features = np.column_stack([rims.features, peaks.score, np.log(peaks.radius_px)])
    return Rims(rims.values, rims.covariance, features, rims.shape, rims.shape_covariance)


def pyramid(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The image and its 2 x 2 means, finest first, while both sides keep 32 pixels."""
    levels = [image]
    while min(levels[-1].shape) >= 64:
        levels.append(halved(levels[-1]))
    return levels


def _radii(smallest_px: float, largest_px: float) -> Array:
    """Radii sought, from half the smallest diameter up, evenly spaced in their logarithm."""
    if largest_px < smallest_px:
        return np.empty(0)
    count = math.floor(SIZES_AN_OCTAVE * math.log2(largest_px / smallest_px) + 1e-9) + 1
    return np.asarray(0.5 * smallest_px * 2.0 ** (np.arange(count) / SIZES_AN_OCTAVE))


def normalised(image: NDArray[Any]) -> NDArray[np.float32]:
    """The image with mean 0 and spread 1, so that depth and exposure do not matter; or all 0."""
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        pixels = image.astype(np.float32)
    else:
        known = np.isfinite(image)
        if not known.any():
            return np.zeros(image.shape, dtype=np.float32)
        wide = np.asarray(np.where(known, image, 0.0), dtype=np.float64)
        wide /= max(float(np.abs(wide).max()), 1e-300)
        wide[~known] = wide[known].mean()
        pixels = wide.astype(np.float32)
    mean, spread = _mean_and_spread(pixels)
    if spread < 1e-6 * max(abs(mean), 1e-30):
        return np.zeros(image.shape, dtype=np.float32)
    return np.asarray((pixels - np.float32(mean)) / np.float32(spread), dtype=np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_and_spread(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation; a third of the time of cv2.meanStdDev on floats."""
    rows, columns = pixels.shape
    # A sum a column, so that the compiler can add several at a time.
    total, square = np.zeros(columns), np.zeros(columns)
    for row in range(rows):
        for column in range(columns):
            value = np.float64(pixels[row, column])
            total[column] += value
            square[column] += value * value
    mean = total.sum() / (rows * columns)
    return mean, math.sqrt(max(square.sum() / (rows * columns) - mean * mean, 0.0))


def _none() -> Rims:
    return Rims(
        np.empty((0, 5)), np.empty((0, 5, 5)), np.empty((0, FEATURES + 2)), np.empty((0, 2)),
        np.empty((0, 2, 2)),
    )  # fmt: skip


def _check(
    image: NDArray[Any],
    sun_px: float | None,
    smallest_px: float,
    largest_px: float | None,
    least_score: float,
) -> None:
    """Raise InputError for what cannot be used."""
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"image: shape {image.shape}; give one grey channel (height, width)")
    if image.dtype.kind not in "uf":
        raise InputError(f"image: pixels of type {image.dtype}; give 8 or 16 bits, or float")
    if sun_px is not None and not math.isfinite(sun_px):
        raise InputError(f"sun_px: {sun_px!r} is no angle; give radians, or leave it out")
    check_smallest(smallest_px)
    if largest_px is not None and not smallest_px <= largest_px <= 1e5:
        raise InputError(f"largest_px: {largest_px!r}; give smallest_px or more")
    if not 0.0 <= least_score <= 1.0:
        raise InputError(f"least_score: {least_score!r}; give a number from 0 to 1")
