"""How surely a crater is seen again: its light and dark under many Suns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.backend.cpu import CpuBackend
from trn.backend.protocol import HIT, Hits, Surface
from trn.maps.dem_craters import Bowls

Array = NDArray[np.float64]

SUN_AZIMUTHS = 8
SUN_ELEVATIONS_DEG = (12.0, 25.0, 45.0)
"""Low Suns give the long shadows that craters are found by; above 45 degrees little relief shows.
"""

PATCH = 13
REACH = 1.8
"""Points along one side of the patch looked at, and its half side in radii."""

TEMPLATE_REACH = 1.2
LEAST_CORRELATION = 0.5
MOST_SHIFT = 0.35
"""Correlation with the pattern of a bowl from which it stands out, and how far from the crater's
centre (in radii) it may do so most."""

CHUNK = 512
CAMERA_M = 1e9


def repeatability(surface: Surface, bowls: Bowls) -> Array:
    """Share of the Suns under which each bowl shows as a crater in its place, (N,) in 0..1.

    The terrain is lit (Lunar-Lambert, with cast shadows) from SUN_AZIMUTHS directions at
    SUN_ELEVATIONS_DEG and seen from above. A bowl counts under a Sun where the correlation of its
    patch with a bowl's pattern, dark towards the Sun and bright beyond, reaches LEAST_CORRELATION
    and peaks within MOST_SHIFT of its centre.
    """
    backend = CpuBackend()
    handle = backend.load_surface(surface)
    lit = np.ones_like(surface.heights_m)
    scores = np.zeros(len(bowls))
    suns = [
        (2.0 * np.pi * k / SUN_AZIMUTHS, np.radians(elevation))
        for elevation in SUN_ELEVATIONS_DEG
        for k in range(SUN_AZIMUTHS)
    ]
    camera = np.array([0.0, 0.0, CAMERA_M])
    patterns = [_patterns(azimuth) for azimuth, _ in suns]
    for start in range(0, len(bowls), CHUNK):
        part = bowls.chosen(np.arange(start, min(start + CHUNK, len(bowls))))
        column, row = _points(surface, part)
        ground = _positions(surface, column, row)
        hits = Hits(np.zeros(column.size), column, row, np.full(column.size, HIT, dtype=np.uint8))
        for (azimuth, elevation), pattern in zip(suns, patterns):
            sun = np.array(
                [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
                 np.sin(elevation)]
            )  # fmt: skip
            radiance, _ = backend.shade(handle, lit, hits, camera, sun)
            # Half a node on, so that a ray does not hit the ground that it starts from.
            origin = ground + 0.5 * surface.step * surface.radius_m * sun
            cast = backend.ray_cast(handle, origin, np.broadcast_to(sun, origin.shape))
            seen = np.where(cast.state == HIT, 0.0, radiance).reshape(len(part), PATCH * PATCH)
            scores[start : start + len(part)] += _shows(seen, pattern)
    return scores / len(suns)


def _offsets() -> Array:
    """Coordinates of a patch's points along one axis, in radii."""
    return np.linspace(-REACH, REACH, PATCH)


def _points(surface: Surface, bowls: Bowls) -> tuple[Array, Array]:
    """Columns and rows of the points of all patches, (N * PATCH^2,)."""
    dy, dx = np.meshgrid(_offsets(), _offsets(), indexing="ij")
    column = bowls.x[:, None] + bowls.radius[:, None] * dx.ravel()
    row = bowls.y[:, None] + bowls.radius[:, None] * dy.ravel()
    rows, columns = surface.heights_m.shape
    return (
        np.clip(column, 0.0, columns - 1.001).ravel(),
        np.clip(row, 0.0, rows - 1.001).ravel(),
    )


def _positions(surface: Surface, column: Array, row: Array) -> Array:
    """Points of the surface, (N, 3), in its axes, by bilinear heights."""
    ix, iy = column.astype(np.intp), row.astype(np.intp)
    u, v = column - ix, row - iy
    z = surface.heights_m
    upper = (1.0 - u) * z[iy, ix] + u * z[iy, ix + 1]
    lower = (1.0 - u) * z[iy + 1, ix] + u * z[iy + 1, ix + 1]
    height = (1.0 - v) * upper + v * lower
    direction = np.stack(
        [surface.x0 + column * surface.step, surface.y0 + row * surface.step, np.ones_like(u)], -1
    )
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.asarray((surface.radius_m + height)[:, None] * direction)


def _patterns(azimuth: float) -> Array:
    """Patterns of a bowl at each place within MOST_SHIFT and around, (places, PATCH^2).

    The first ones are in place, see `_in_place`. Zero mean, unit norm inside TEMPLATE_REACH.
    """
    y, x = (v.ravel() for v in np.meshgrid(_offsets(), _offsets(), indexing="ij"))
    out = []
    for shift_x, shift_y in _places():
        u, v = x - shift_x, y - shift_y
        distance = np.hypot(u, v)
        towards_sun = u * np.cos(azimuth) + v * np.sin(azimuth)
        # Slope of a bowl that meets level ground behind its rim.
        pattern = -towards_sun * np.where(distance <= 0.95, 1.0, 0.0)
        outside = (distance > 0.95) & (distance <= TEMPLATE_REACH)
        pattern += np.where(outside, 0.5 * towards_sun / np.maximum(distance, 0.1), 0.0)
        inside = distance <= TEMPLATE_REACH
        pattern = np.where(inside, pattern - pattern[inside].mean(), 0.0)
        out.append(pattern / np.linalg.norm(pattern))
    return np.array(out)


def _places() -> Array:
    """Shifts tried, in radii: those that count as in place first."""
    steps = np.array([(x, y) for x in (-2, -1, 0, 1, 2) for y in (-2, -1, 0, 1, 2)]) * 0.3
    return steps[np.argsort(np.hypot(steps[:, 0], steps[:, 1]), kind="stable")]


def _in_place() -> int:
    return int((np.hypot(*_places().T) <= MOST_SHIFT).sum())


def _shows(seen: Array, patterns: Array) -> NDArray[np.bool_]:
    """Which patches (N, PATCH^2) hold the pattern, in place and nowhere better."""
    support = (patterns != 0.0).astype(np.float64)
    count = support.sum(axis=1)
    mean = seen @ support.T / count
    variance = np.maximum(seen**2 @ support.T / count - mean**2, 0.0) * count
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(variance > 0.0, seen @ patterns.T / np.sqrt(variance), 0.0)
    inside = correlation[:, : _in_place()].max(axis=1)
    return np.asarray((inside >= LEAST_CORRELATION) & (inside >= correlation.max(axis=1)))
