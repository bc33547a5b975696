"""From a rough circle to the rim as an ellipse with its covariance, and how it looks.

Going outward across a crater's rim, the image turns lighter on the side of the Sun and darker on
the far side, shadows or none; the terminator inside turns the other way round. So the change along
a ray, times the cosine of the rim's normal to the Sun, is high at the rim alone. Its peak is found
in each of 32 directions of a frame in which the ellipse so far is the unit circle, and five
numbers (shift, size, two of shape) are fitted to the peaks by iteratively reweighted least
squares, with a wide prior on a circle: the rim hardly shows across the Sun's direction.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS = 32
STEPS = 32
STEP = 0.05
FIRST = 0.35
"""Rays are sampled at radii FIRST, FIRST + STEP, ... of the ellipse so far."""

ROUNDS = 3
LEVEL_RADIUS_PX = 6.0
"""Rims are measured at the coarsest pyramid level that keeps this radius."""

_SIDE_COSINE = 0.5
_SIDE_LOW, _SIDE_HIGH, _SIDE_SIGMA = 0.6, 1.75, 0.4
_WINDOWS = (0.35, 0.25, 0.2)
_SHIFT_SIGMA, _SIZE_SIGMA = 0.3, 0.3
_FLOOR_PX = 0.1
"""Least scatter of rim points, pixels."""
_INFLATION = 20.0
"""Of the variance: neighbouring directions share pixels."""
_CREST = 0.95
"""Of the edges' radius: beside weathered rims the light changes most a little outside the crest."""
_GROUND_SHIFT_SIGMA, _GROUND_SIZE_SIGMA = 0.085, 0.085
"""Rims in rough ground stand so far from where they would, in radii (renderings, 10 to 150 px)."""

RINGS = (0.2, 0.45, 0.7, 0.9, 1.1, 1.3, 1.5)
HARMONICS = 4
FEATURES = len(RINGS) * HARMONICS + 4
_RING_STEPS = np.array([round((ring - FIRST) / STEP) if ring > FIRST else 0 for ring in RINGS])
_ALL_STEPS = np.arange(STEPS)
_WORKERS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True, eq=False)
class Rims:
    """Rims found near circles, NaN where there is none.

    values: (N, 5) as in Ellipses, axes perhaps the wrong way round. covariance: (N, 5, 5).
    features: (N, FEATURES), how they look (see `_describe`). shape: (N, 2), how far from a circle:
    (a - b) / (a + b) times cosine and sine of twice theta; shape_covariance: (N, 2, 2).
    """

    values: Array
    covariance: Array
    features: Array
    shape: Array
    shape_covariance: Array

    def chosen(self, keep: NDArray[Any]) -> Rims:
        """The rims that keep, bool (N,) or indices, picks."""
        return Rims(*(getattr(self, each.name)[keep] for each in fields(self)))


def fit_rims(
    levels: list[NDArray[np.float32]],
    circles: Array,
    sun_px: float,
    floor: float,
    prior_shape: Array,
    shape_sigma: float,
) -> Rims:
    """Rims near circles, (N, 3) of x, y, radius.

    levels: pyramid of 2 x 2 means of the image, finest first. sun_px: angle that the light comes
    from. floor: spread of the image below which nothing is seen. prior_shape: (N, 2), the shape
    expected of each, with its sigma.
    """
    count = len(circles)
    rims = Rims(
        np.full((count, 5), np.nan),
        np.full((count, 5, 5), np.nan),
        np.zeros((count, FEATURES)),
        np.full((count, 2), np.nan),
        np.full((count, 2, 2), np.nan),
    )
    octave = np.floor(np.log2(np.maximum(circles[:, 2] / LEVEL_RADIUS_PX, 1.0))).astype(int)
    octave = np.minimum(octave, len(levels) - 1)

    def work(part: NDArray[np.intp]) -> None:
        for k in np.unique(octave[part]):
            chosen = part[octave[part] == k]
            size = 2.0**k
            local = circles[chosen] / size
            local[:, :2] += 0.5 / size - 0.5
            found = rims.chosen(chosen)
            _fit_all(
                levels[k], local, prior_shape[chosen], shape_sigma, math.cos(sun_px),
                math.sin(sun_px), floor, found.values, found.covariance, found.features,
                found.shape, found.shape_covariance,
            )  # fmt: skip
            found.values[:, :4] *= size
            found.values[:, :2] += 0.5 * size - 0.5
            units = np.array([size, size, size, size, 1.0])
            found.covariance[:] *= units[:, None] * units
            for each in fields(Rims):
                getattr(rims, each.name)[chosen] = getattr(found, each.name)

    # In rising order of size, so that a part has few levels.
    parts = np.array_split(np.argsort(octave, kind="stable"), max(1, min(count // 32, 64)))
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(work, parts))
    return rims


@njit(cache=True, nogil=True)
def _at(image: Any, x: float, y: float) -> float:
    """Bilinear sample, the border carried on."""
    rows, columns = image.shape
    x = min(max(x, 0.0), columns - 1.001)
    y = min(max(y, 0.0), rows - 1.001)
    i, j = int(x), int(y)
    u, v = x - i, y - j
    top = image[j, i] + u * (image[j, i + 1] - image[j, i])
    low = image[j + 1, i] + u * (image[j + 1, i + 1] - image[j + 1, i])
    return float(top + v * (low - top))


@njit(cache=True, nogil=True)
def _sample(image: Any, x: float, y: float, shape: Any, steps: Any, polar: Any) -> None:
    """Fill steps of polar (DIRECTIONS, STEPS), in the frame where `shape` is the unit circle."""
    for i in range(DIRECTIONS):
        angle = 2.0 * np.pi * i / DIRECTIONS
        c, s = np.cos(angle), np.sin(angle)
        dx = shape[0, 0] * c + shape[0, 1] * s
        dy = shape[1, 0] * c + shape[1, 1] * s
        for j in steps:
            rho = FIRST + STEP * j
            polar[i, j] = _at(image, x + rho * dx, y + rho * dy)


@njit(cache=True, nogil=True)
def _cosines(shape: Any, sun_x: float, sun_y: float, out: Any) -> None:
    """Cosine of the angle between the rim's normal and the Sun, in each direction."""
    for i in range(DIRECTIONS):
        angle = 2.0 * np.pi * i / DIRECTIONS
        c, s = np.cos(angle), np.sin(angle)
        # Normals go with the inverse transpose; shape is symmetric, its determinant positive.
        nx = shape[1, 1] * c - shape[0, 1] * s
        ny = shape[0, 0] * s - shape[0, 1] * c
        out[i] = (nx * sun_x + ny * sun_y) / np.sqrt(nx * nx + ny * ny)


@njit(cache=True, nogil=True)
def _reach(radius: float) -> int:
    """Steps to each side over which a change is measured: about 0.7 pixels."""
    return min(max(2, int(np.ceil(0.7 / (STEP * radius)))), 5)


@njit(cache=True, nogil=True)
def _span(window: float, margin: int) -> tuple[int, int]:
    """First step and one past the last within a window around radius 1, and some more."""
    middle, half = (1.0 - FIRST) / STEP, window / STEP
    first = max(int(np.ceil(middle - half - 1e-9)) - margin, 0)
    return first, min(int(np.floor(middle + half + 1e-9)) + 1 + margin, STEPS)


@njit(cache=True, nogil=True)
def _edges(polar: Any, cosine: Any, reach: int, first: int, last: int, out: Any) -> None:
    """Change along each ray times the cosine, over three neighbouring directions."""
    for i in range(DIRECTIONS):
        before, after = (i - 1) % DIRECTIONS, (i + 1) % DIRECTIONS
        own, left, right = 0.5 * cosine[i], 0.25 * cosine[before], 0.25 * cosine[after]
        for j in range(first, last):
            far, near = min(j + reach, STEPS - 1), max(j - reach, 0)
            change = own * (polar[i, far] - polar[i, near])
            change += left * (polar[before, far] - polar[before, near])
            change += right * (polar[after, far] - polar[after, near])
            out[i, j] = change / (far - near)


@njit(cache=True, nogil=True)
def _side_radius(edges: Any, cosine: Any, side: float) -> float:
    """Radius of the strongest edge on the Sun's side (+1) or the far side (-1); 0 for none."""
    best, where = 0.0, 0.0
    for j in range(STEPS):
        rho = FIRST + STEP * j
        if rho < _SIDE_LOW or rho > _SIDE_HIGH:
            continue
        total = 0.0
        for i in range(DIRECTIONS):
            if side * cosine[i] > _SIDE_COSINE:
                total += edges[i, j]
        total *= np.exp(-0.5 * (np.log(rho) / _SIDE_SIGMA) ** 2)
        if total > best:
            best, where = total, rho
    return where


@njit(cache=True, nogil=True)
def _rim_points(edges: Any, window: float, radius: Any, strength: Any) -> None:
    """Radius, to a fraction of a step, and height of the highest edge in each direction."""
    first, last = _span(window, 0)
    for i in range(DIRECTIONS):
        best, at = 0.0, -1
        for j in range(first, last):
            rho = FIRST + STEP * j
            value = edges[i, j] * (1.0 - 0.5 * ((rho - 1.0) / window) ** 2)
            if value > best and edges[i, j] >= edges[i, j - 1] and edges[i, j] >= edges[i, j + 1]:
                best, at = value, j
        radius[i], strength[i] = 1.0, 0.0
        if at >= 0:
            left, middle, right = edges[i, at - 1], edges[i, at], edges[i, at + 1]
            bend = left - 2.0 * middle + right
            shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
            radius[i] = FIRST + STEP * (at + shift)
            strength[i] = middle


@njit(cache=True, nogil=True)
def _solve(
    radius: Any,
    weight: Any,
    prior_mean: Any,
    prior_sigma: Any,
    floor: float,
    step: Any,
    inverse: Any,
) -> float:
    """Shift, size and shape (5) from rim radii, robustly; returns the scatter of the points.

    inverse: (5, 5), the posterior covariance.
    """
    normal = np.zeros((5, 5))
    right = np.zeros(5)
    row = np.empty(5)
    scatter = 0.1
    step[:] = 0.0
    for attempt in range(4):
        normal[:] = 0.0
        right[:] = 0.0
        squares, total = 0.0, 0.0
        for i in range(DIRECTIONS):
            if weight[i] <= 0.0:
                continue
            angle = 2.0 * np.pi * i / DIRECTIONS
            row[0], row[1], row[2] = np.cos(angle), np.sin(angle), 1.0
            row[3], row[4] = np.cos(2.0 * angle), np.sin(2.0 * angle)
            residual = radius[i] - 1.0
            for k in range(5):
                residual -= row[k] * step[k]
            robust = 1.0
            if attempt > 0:
                # Cauchy's weight: a rim point on a neighbour's rim counts for little.
                robust = 1.0 / (1.0 + (residual / (2.0 * scatter)) ** 2)
            w = weight[i] * robust
            squares += w * residual * residual
            total += w
            for k in range(5):
                right[k] += w * row[k] * (radius[i] - 1.0)
                for m in range(5):
                    normal[k, m] += w * row[k] * row[m]
        if attempt > 0:
            scatter = max(np.sqrt(squares / max(total, 1e-9)), floor)
        variance = scatter * scatter
        for k in range(5):
            for m in range(5):
                normal[k, m] /= variance * _INFLATION
            right[k] /= variance * _INFLATION
            normal[k, k] += 1.0 / prior_sigma[k] ** 2
            right[k] += prior_mean[k] / prior_sigma[k] ** 2
        inverse[:, :] = np.linalg.inv(normal)
        step[:] = inverse @ right
    return scatter


@njit(cache=True, nogil=True)
def _root(square: Any) -> Any:
    """Symmetric square root of a positive 2 x 2 matrix."""
    s = np.sqrt(max(square[0, 0] * square[1, 1] - square[0, 1] * square[1, 0], 1e-12))
    t = np.sqrt(square[0, 0] + square[1, 1] + 2.0 * s)
    root = square.copy()
    root[0, 0] += s
    root[1, 1] += s
    return root / t


@njit(cache=True, nogil=True)
def _to_axes(x: float, y: float, shape: Any, unit: Any, value: Any, covariance: Any) -> None:
    """Centre, axes and angle of an ellipse, and their covariance from that of (5) in its frame."""
    p, q, h = shape[0, 0], shape[1, 1], shape[0, 1]
    mean, half = 0.5 * (p + q), 0.5 * (p - q)
    apart = np.sqrt(half * half + h * h)
    theta = 0.5 * np.arctan2(h, half)
    value[0], value[1] = x, y
    value[2], value[3], value[4] = mean + apart, max(mean - apart, 1e-3), theta
    c, s = np.cos(2.0 * theta), np.sin(2.0 * theta)
    jacobian = np.zeros((5, 5))
    jacobian[0, 0], jacobian[0, 1] = p, h
    jacobian[1, 0], jacobian[1, 1] = h, q
    # In the frame of a near-circle the shape's two numbers are those of the image, scaled.
    jacobian[2, 2], jacobian[2, 3], jacobian[2, 4] = mean, mean * c, mean * s
    jacobian[3, 2], jacobian[3, 3], jacobian[3, 4] = mean, -mean * c, -mean * s
    # A circle has no angle: near one its sigma is held at what nothing known would give.
    lever = 0.5 * mean / max(apart, 0.02 * mean)
    jacobian[4, 3], jacobian[4, 4] = -lever * s, lever * c
    covariance[:, :] = jacobian @ unit @ jacobian.T


@njit(cache=True, nogil=True)
def _describe(polar: Any, cosine: Any, floor: float, out: Any) -> None:
    """Rings times harmonics of the Sun's angle, over the spread of all; then the spread over floor.

    out[:28]: mean over a ring of (sample - mean) cos(m angle) / spread, for m = 0 to 3 and each of
    RINGS. out[28]: log of spread / floor.
    """
    rings = len(RINGS)
    total, squares = 0.0, 0.0
    for i in range(DIRECTIONS):
        for k in range(rings):
            value = polar[i, _RING_STEPS[k]]
            total += value
            squares += value * value
    count = DIRECTIONS * rings
    mean = total / count
    spread = np.sqrt(max(squares / count - mean * mean, 0.0) + 0.01 * floor * floor)
    scale = 1.0 / (spread * DIRECTIONS)
    for i in range(DIRECTIONS):
        # Chebyshev's: cosines of multiples of the angle from its cosine.
        wave, after = 1.0, cosine[i]
        for m in range(HARMONICS):
            for k in range(rings):
                out[m * rings + k] += (polar[i, _RING_STEPS[k]] - mean) * scale * wave
            wave, after = after, 2.0 * cosine[i] * after - wave
    out[HARMONICS * rings] = np.log(spread / floor)


@njit(cache=True, nogil=True)
def _fit_all(
    image: Any,
    circles: Any,
    prior_shape: Any,
    shape_sigma: float,
    sun_x: float,
    sun_y: float,
    floor: float,
    values: Any,
    covariances: Any,
    features: Any,
    shapes: Any,
    shape_covariances: Any,
) -> None:
    """Fill one row of the outputs for each circle."""
    polar = np.empty((DIRECTIONS, STEPS))
    edges = np.empty((DIRECTIONS, STEPS))
    cosine = np.empty(DIRECTIONS)
    radius = np.empty(DIRECTIONS)
    strength = np.empty(DIRECTIONS)
    weight = np.empty(DIRECTIONS)
    step = np.empty(5)
    inverse = np.empty((5, 5))
    prior_mean = np.zeros(5)
    prior_sigma = np.array([_SHIFT_SIGMA, _SHIFT_SIGMA, _SIZE_SIGMA, shape_sigma, shape_sigma])
    for n in range(circles.shape[0]):
        x, y, start = circles[n]
        expect_c, expect_s = prior_shape[n, 0], prior_shape[n, 1]
        shape = start * np.array([[1.0 + expect_c, expect_s], [expect_s, 1.0 - expect_c]])
        _sample(image, x, y, shape, _ALL_STEPS, polar)
        _cosines(shape, sun_x, sun_y, cosine)
        _edges(polar, cosine, _reach(start), 0, STEPS, edges)
        near, far = _side_radius(edges, cosine, 1.0), _side_radius(edges, cosine, -1.0)
        if near == 0.0 or far == 0.0:
            continue
        # The rim's place with its normal towards the Sun.
        east = shape[0, 0] * sun_x + shape[0, 1] * sun_y
        south = shape[1, 0] * sun_x + shape[1, 1] * sun_y
        move = 0.5 * (near - far) / np.sqrt(east * east + south * south)
        x += move * (shape[0, 0] * east + shape[0, 1] * south)
        y += move * (shape[1, 0] * east + shape[1, 1] * south)
        shape *= 0.5 * (near + far)
        scatter = 0.0
        good = True
        for attempt in range(ROUNDS):
            mean = 0.5 * (shape[0, 0] + shape[1, 1])
            reach = _reach(mean)
            first, last = _span(_WINDOWS[attempt], reach + 1)
            _sample(image, x, y, shape, _ALL_STEPS[first:last], polar)
            _cosines(shape, sun_x, sun_y, cosine)
            first, last = _span(_WINDOWS[attempt], 1)
            _edges(polar, cosine, reach, first, last, edges)
            _rim_points(edges, _WINDOWS[attempt], radius, strength)
            highest = strength.max()
            if highest <= 0.0:
                good = False
                break
            for i in range(DIRECTIONS):
                weight[i] = min(strength[i] / (0.5 * highest), 1.0) * cosine[i] ** 2
            prior_mean[3] = expect_c - 0.5 * (shape[0, 0] - shape[1, 1]) / mean
            prior_mean[4] = expect_s - shape[0, 1] / mean
            scatter = _solve(
                radius, weight, prior_mean, prior_sigma, _FLOOR_PX / mean, step, inverse
            )
            change = np.array(
                [[1.0 + step[2] + step[3], step[4]], [step[4], 1.0 + step[2] - step[3]]]
            )
            x += shape[0, 0] * step[0] + shape[0, 1] * step[1]
            y += shape[1, 0] * step[0] + shape[1, 1] * step[1]
            changed = shape @ change
            shape = _root(changed @ changed.T)
            size = 0.5 * (shape[0, 0] + shape[1, 1])
            if not (size < 3.0 * start and size > 0.3 * start):
                good = False
                break
        if not good:
            continue
        # In units of the edges' radius, as the fit's own covariance.
        inverse[0, 0] += _GROUND_SHIFT_SIGMA**2
        inverse[1, 1] += _GROUND_SHIFT_SIGMA**2
        inverse[2, 2] += _GROUND_SIZE_SIGMA**2
        _to_axes(x, y, _CREST * shape, inverse, values[n], covariances[n])
        shapes[n, 0] = 0.5 * (shape[0, 0] - shape[1, 1]) / size
        shapes[n, 1] = shape[0, 1] / size
        shape_covariances[n] = inverse[3:, 3:]
        _sample(image, x, y, shape, _RING_STEPS, polar)
        _cosines(shape, sun_x, sun_y, cosine)
        _describe(polar, cosine, floor, features[n])
        agreeing, total = 0.0, 0.0
        for i in range(DIRECTIONS):
            total += cosine[i] ** 2
            if strength[i] > 0.25 * strength.max() and abs(radius[i] - 1.0) < 0.15:
                agreeing += cosine[i] ** 2
        features[n, FEATURES - 3] = agreeing / total
        features[n, FEATURES - 2] = scatter
        features[n, FEATURES - 1] = np.log(size * size / (start * start))
