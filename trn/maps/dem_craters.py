"""Craters found in elevation: bowls at every scale, their rims fitted along radial profiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

LEAST_PX = 6.5
"""Diameter, in pixels, below which a rim is not resolved."""

SCALES_PER_OCTAVE = 4
SIGMA_OF_RADIUS = 0.38
"""The Laplacian of Gaussian that answers most to a bowl of a radius, in radii."""

LEAST_RESPONSE = 0.012
LEAST_DEPTH = 0.015
MOST_WALL_SPREAD = 0.5
MOST_RISE = 0.4
LEAST_AXIS_RATIO = 0.6
MOST_SCATTER = 0.2
"""What is taken for a crater: response and depth over diameter; spread of the wall's height over
azimuths, and rise of the ground beyond the rim, both in depths; minor over major axis; scatter of
the rim in radii. Chosen on a third of the Atlas and Crisium maps, see docs/catalogs.md."""

FULL_DEPTH_PX = 14.0
"""Diameter up to which a map smooths craters away; wider ones have to show in proportion."""

AZIMUTHS = 36
RADII = np.arange(0.0, 2.01, 0.1)
FLOOR, CREST, OUTSIDE, BEYOND = slice(0, 4), slice(9, 12), slice(15, None), slice(16, None)
"""Profiles around a crater, to two radii, and what of them is floor, rim and level ground."""

CURVATURE_STEPS = 3
RIM_RANGE = (0.7, 1.4)
RIM_SPREAD = 0.25
REFINEMENTS = 3
"""Half the base, in steps of RADII, over which a profile's bend is measured; radii in which a rim
is looked for, and how far from the typical one at each azimuth; rounds of centring."""


@dataclass(frozen=True, eq=False)
class Bowls:
    """Craters on a grid: (N,) each, in its columns and rows.

    x, y: centre. a, b: semi-axes of the rim. theta: angle of the major axis from +x towards +y.
    depth_m: rim to floor. response: Laplacian response over diameter, dimensionless.
    """

    x: Array
    y: Array
    a: Array
    b: Array
    theta: Array
    depth_m: Array
    response: Array

    def __len__(self) -> int:
        return int(self.x.size)

    @property
    def radius(self) -> Array:
        """Geometric mean of the semi-axes."""
        return np.asarray(np.sqrt(self.a * self.b))

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Bowls:
        """The bowls that keep, bool (N,) or indices, picks."""
        return Bowls(*(getattr(self, field.name)[keep] for field in fields(self)))


def find_bowls(
    heights_m: Float32,
    hole: NDArray[np.bool_],
    spacing_m: float,
    least_m: float,
    most_m: float,
) -> Bowls:
    """Craters of least_m to most_m in diameter on a square grid of heights.

    heights_m: (rows, columns), filled where hole is set; spacing_m: distance of two nodes. What
    reaches into holes or over the edge is left out. Largest response first.
    """
    least_px, most_px = max(least_m / spacing_m, LEAST_PX), most_m / spacing_m
    x, y, radius, response = _seeds(heights_m, spacing_m, 0.5 * least_px, 0.5 * most_px)
    bowls = _with_rims(heights_m, spacing_m, x, y, radius, response)
    diameter = 2.0 * bowls.radius
    keep = (diameter >= least_px) & (diameter <= most_px)
    keep &= bowls.response >= LEAST_RESPONSE * np.maximum(1.0, diameter / FULL_DEPTH_PX)
    keep &= ~_near_hole(hole, bowls)
    return _strongest(bowls.chosen(keep))


def _seeds(
    heights: Float32, spacing_m: float, least_px: float, most_px: float
) -> tuple[Array, Array, Array, Array]:
    """Maxima over place and scale of the Laplacian of Gaussian: x, y, radius, response.

    A tilted plane gives nothing, a parabolic bowl of depth d and diameter D about 0.6 d / D
    (Lindeberg 1998, Int. J. Comput. Vis. 30, 79, with the response divided by the diameter).
    """
    octaves = math.log2(most_px / least_px) if most_px > least_px else 0.0
    steps = np.arange(-1, math.ceil(octaves * SCALES_PER_OCTAVE) + 2)
    radii = least_px * 2.0 ** (steps / SCALES_PER_OCTAVE)
    stack: list[Float32] = []
    for radius in radii:
        sigma = SIGMA_OF_RADIUS * radius
        smooth = cv2.GaussianBlur(heights, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        laplacian = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT_101)
        stack.append(np.asarray(laplacian * np.float32(sigma**2 / (2.0 * radius * spacing_m))))
    window = np.ones((3, 3), dtype=np.uint8)
    highest = [np.asarray(cv2.dilate(level, window)) for level in stack]
    found: list[Array] = []
    for k in range(1, len(stack) - 1):
        peak = (stack[k] >= highest[k]) & (stack[k] >= LEAST_RESPONSE)
        peak &= (stack[k] >= highest[k - 1]) & (stack[k] > highest[k + 1])
        row, column = np.nonzero(peak)
        size = np.full(row.size, radii[k])
        found.append(np.column_stack([column, row, size, stack[k][row, column]]))
    x, y, size, response = np.concatenate(found or [np.empty((0, 4))]).T
    return x, y, size, response


def _with_rims(
    heights: Float32, spacing_m: float, x: Array, y: Array, radius: Array, response: Array
) -> Bowls:
    """Centres and rims of seeds; those without a closed rim are left out."""
    second_x = second_y = np.zeros_like(x)
    scatter = np.zeros_like(x)
    for _ in range(REFINEMENTS):
        profiles = _profiles(heights, x, y, radius)
        terms, scatter = _rim_terms(profiles)
        # A rim far off its seed is another crater's.
        shift = np.clip(terms[:, 1:3], -0.3, 0.3)
        x, y = x + radius * shift[:, 0], y + radius * shift[:, 1]
        second_x, second_y = terms[:, 3] / terms[:, 0], terms[:, 4] / terms[:, 0]
        radius = radius * np.clip(terms[:, 0], RIM_RANGE[0], RIM_RANGE[1])
    stretch = np.minimum(np.hypot(second_x, second_y), 0.9)
    profiles = _profiles(heights, x, y, radius)
    rim = profiles[:, :, CREST].max(axis=2)
    floor = profiles[:, :, FLOOR].mean(axis=(1, 2))
    depth = rim.mean(axis=1) - floor
    spread = rim.std(axis=1)
    rise = profiles[:, :, BEYOND].mean(axis=(1, 2)) - rim.mean(axis=1)
    bowls = Bowls(
        x, y, radius * (1.0 + stretch), radius * (1.0 - stretch),
        0.5 * np.arctan2(second_y, second_x), depth, response,
    )  # fmt: skip
    keep = depth >= LEAST_DEPTH * 2.0 * radius * spacing_m
    keep &= (spread <= MOST_WALL_SPREAD * depth) & (rise <= MOST_RISE * depth)
    keep &= (bowls.b >= LEAST_AXIS_RATIO * bowls.a) & (scatter <= MOST_SCATTER)
    reach = RADII[-1] * radius
    keep &= (x >= reach) & (x <= heights.shape[1] - 1 - reach)
    keep &= (y >= reach) & (y <= heights.shape[0] - 1 - reach)
    return bowls.chosen(keep)


def _profiles(heights: Float32, x: Array, y: Array, radius: Array) -> Array:
    """Heights (N, AZIMUTHS, RADII) around centres, free of the ground's tilt."""
    azimuth = 2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
    c, s = np.cos(azimuth)[:, None] * RADII, np.sin(azimuth)[:, None] * RADII
    rows = y[:, None, None] + radius[:, None, None] * s
    columns = x[:, None, None] + radius[:, None, None] * c
    profiles = map_coordinates(heights, [rows, columns], output=np.float64, order=1, mode="nearest")
    outside = profiles[:, :, OUTSIDE].mean(axis=2)
    level = 2.0 / AZIMUTHS * np.stack([outside @ np.cos(azimuth), outside @ np.sin(azimuth)], -1)
    mean_radius = RADII[OUTSIDE].mean()
    tilt = level[:, 0, None, None] * c + level[:, 1, None, None] * s
    return np.asarray(profiles - tilt / mean_radius)


def _rim_terms(profiles: Array) -> tuple[Array, Array]:
    """Fourier terms (N, 5) of the rim's distance by azimuth, in radii, and its scatter (N,).

    1, cos, sin move the circle, cos 2, sin 2 stretch it into an ellipse. The rim is where the
    profile bends down most, which holds for worn rims too, weighed by how sharply it does.
    """
    h = CURVATURE_STEPS
    bend = 2.0 * profiles[:, :, h:-h] - profiles[:, :, : -2 * h] - profiles[:, :, 2 * h :]
    bend = (bend + np.roll(bend, 1, axis=1) + np.roll(bend, -1, axis=1)) / 3.0
    radii = RADII[h:-h]
    inside = (radii >= RIM_RANGE[0] - 1e-9) & (radii <= RIM_RANGE[1] + 1e-9)
    mean = np.where(inside, bend.mean(axis=1), -np.inf)
    typical = radii[mean.argmax(axis=1)]
    near = np.abs(radii - typical[:, None]) <= RIM_SPREAD * typical[:, None]
    masked = np.where((near & inside)[:, None, :], bend, -np.inf)
    at = masked.argmax(axis=2)
    distance = radii[at] + 0.1 * _vertex(bend, at)
    weight = np.maximum(np.take_along_axis(bend, at[:, :, None], 2)[:, :, 0], 0.0)
    weight /= weight.mean(axis=1, keepdims=True) + 1e-9
    azimuth = 2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
    basis = np.stack(
        [np.ones(AZIMUTHS), np.cos(azimuth), np.sin(azimuth), np.cos(2 * azimuth),
         np.sin(2 * azimuth)], -1,
    )  # fmt: skip
    terms = np.zeros((len(profiles), 5))
    scatter = np.zeros(len(profiles))
    robust = np.ones_like(weight)
    for _ in range(3):
        w = weight * robust + 1e-3
        normal = np.einsum("na,ai,aj->nij", w, basis, basis) + 1e-6 * np.eye(5)
        terms = np.linalg.solve(normal, ((w * distance) @ basis)[:, :, None])[:, :, 0]
        residual = distance - terms @ basis.T
        scatter = np.sqrt((w * residual**2).sum(axis=1) / w.sum(axis=1))
        robust = 1.0 / (1.0 + (residual / 0.1) ** 2)
    return terms, scatter


def _vertex(values: Array, at: NDArray[np.intp]) -> Array:
    """Where the parabola through a peak and its neighbours has its vertex, in steps."""
    last = values.shape[2] - 1
    low, mid, high = (
        np.take_along_axis(values, np.clip(at + k, 0, last)[:, :, None], 2)[:, :, 0]
        for k in (-1, 0, 1)
    )
    curve = low - 2.0 * mid + high
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (low - high) / curve
    return np.where(np.isfinite(shift) & (np.abs(shift) <= 0.5), shift, 0.0)


def _near_hole(hole: NDArray[np.bool_], bowls: Bowls) -> NDArray[np.bool_]:
    """Which bowls have a hole within one and a half radii."""
    if not hole.any():
        return np.zeros(len(bowls), dtype=bool)
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    row = np.clip(np.rint(bowls.y).astype(int), 0, hole.shape[0] - 1)
    column = np.clip(np.rint(bowls.x).astype(int), 0, hole.shape[1] - 1)
    return np.asarray(away[row, column] < 1.5 * bowls.a)


def _strongest(bowls: Bowls) -> Bowls:
    """The bowls of which no stronger one has about the same rim, strongest first."""
    order = np.lexsort((bowls.x, bowls.y, -bowls.response))
    bowls = bowls.chosen(order)
    kept: list[int] = []
    dropped = np.zeros(len(bowls), dtype=bool)
    if not len(bowls):
        return bowls
    tree = cKDTree(np.column_stack([bowls.x, bowls.y]))
    near = tree.query_ball_point(np.column_stack([bowls.x, bowls.y]), 0.6 * bowls.radius.max())
    for k in range(len(bowls)):
        if dropped[k]:
            continue
        kept.append(k)
        others = np.array(near[k])
        distance = np.hypot(bowls.x[others] - bowls.x[k], bowls.y[others] - bowls.y[k])
        same = same_crater(distance, bowls.radius[others], bowls.radius[k])
        dropped[others[same]] = True
    return bowls.chosen(np.array(kept, dtype=np.intp))


def same_crater(distance: Array, radius: Array, other: Array | float) -> NDArray[np.bool_]:
    """Whether two circles at a distance are one crater's rim, measured twice."""
    larger, smaller = np.maximum(radius, other), np.minimum(radius, other)
    return np.asarray((distance <= 0.6 * larger) & (smaller >= 0.55 * larger))
