"""The part of a map around one view, on a grid made for ray-casting.

The grid is gnomonic: a body-fixed point p, in the axes (east, north, up) of the tile's centre, has
the grid coordinates X = p_east / p_up and Y = p_north / p_up. Straight rays are straight lines in
(X, Y) whatever the curvature, so a ray visits cells like in a plane while its height above the
sphere stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Surface, TerrainCut
from trn.backend.terrain_cut import GnomonicGrid, RasterPart
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import (
    east_north_up,
    geographic_from_position,
    position_from_geographic,
)

MAX_NODES = 2600
"""Bound on the nodes along one side of a tile; a larger view gets a coarser grid."""

MAX_ANGLE_RAD = np.deg2rad(65.0)
"""How far from its centre a tile may reach; the gnomonic scale grows as 1 / cos^2."""


@dataclass(frozen=True, eq=False)
class MapTile:
    """Heights on a gnomonic grid around one place.

    surface: the grid as the backends take it; holes are filled smoothly so that rays have something
        to pass over, and marked in `surface.hole`.
    """

    grid: GnomonicGrid
    surface: Surface


def max_pyramid(heights_m: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Max-height pyramid of a grid of nodes; level 0 holds the maximum of each cell's corners."""
    cells = np.maximum(
        np.maximum(heights_m[:-1, :-1], heights_m[1:, :-1]),
        np.maximum(heights_m[:-1, 1:], heights_m[1:, 1:]),
    )
    levels = [np.ascontiguousarray(cells)]
    while max(levels[-1].shape) > 1:
        last = levels[-1]
        padded = np.pad(last, ((0, last.shape[0] % 2), (0, last.shape[1] % 2)), mode="edge")
        halved = np.maximum(
            np.maximum(padded[::2, ::2], padded[1::2, ::2]),
            np.maximum(padded[::2, 1::2], padded[1::2, 1::2]),
        )
        levels.append(np.ascontiguousarray(halved))
    return tuple(levels)


def cut_tile(
    moon_map: LunarMap,
    centre_m: NDArray[np.float64],
    bounds: tuple[float, float, float, float],
    spacing_m: float,
) -> MapTile:
    """The tile of a map around a centre, cut on the host; see terrain_cut."""
    cut = terrain_cut(moon_map, centre_m, bounds, spacing_m)
    return MapTile(cut.grid, cut.on_host())


def terrain_cut(
    moon_map: LunarMap,
    centre_m: NDArray[np.float64],
    bounds: tuple[float, float, float, float],
    spacing_m: float,
) -> TerrainCut:
    """The tile of a map around a centre, for a backend to cut.

    centre_m: shape (3,), body-fixed; only its direction matters.
    bounds: gnomonic (x_min, x_max, y_min, y_max) wanted about it; cut to MAX_ANGLE_RAD.
    spacing_m: distance of two nodes wanted; taken up to the next half power of two of the map's
        resolution, coarser still where MAX_NODES would be passed.
    """
    axes, (x_min, x_max, y_min, y_max) = _anchored(centre_m, bounds)
    reach = float(np.tan(MAX_ANGLE_RAD))
    x_min, x_max, y_min, y_max = (
        float(np.clip(b, -reach, reach)) for b in (x_min, x_max, y_min, y_max)
    )
    least = max(spacing_m / REFERENCE_RADIUS_M, max(x_max - x_min, y_max - y_min) / MAX_NODES)
    finest = moon_map.resolution_m / REFERENCE_RADIUS_M
    step = finest * 2.0 ** (np.ceil(2.0 * np.log2(least / finest) - 1e-6) / 2.0)
    # Nodes stand on whole multiples of the step: the same place gives the same grid.
    first_x, last_x = int(np.floor(x_min / step)), int(np.ceil(x_max / step)) + 1
    first_y, last_y = int(np.floor(y_min / step)), int(np.ceil(y_max / step)) + 1
    grid = GnomonicGrid(
        axes,
        first_x,
        first_y,
        float(step),
        last_y + 1 - first_y,
        last_x + 1 - first_x,
        REFERENCE_RADIUS_M,
    )
    return TerrainCut(grid, lambda: _raster_part(moon_map, grid), lambda: _surface(moon_map, grid))


def _surface(moon_map: LunarMap, grid: GnomonicGrid) -> Surface:
    """The map's heights at the nodes of a grid, holes filled."""
    sampled = heights_of(moon_map, grid)
    hole = ~np.isfinite(sampled)
    heights = _fill_holes(sampled, hole)
    return Surface(
        float(grid.x[0]),
        float(grid.y[0]),
        grid.step,
        grid.radius_m,
        heights,
        hole,
        max_pyramid(heights),
    )


def heights_of(moon_map: LunarMap, grid: GnomonicGrid) -> NDArray[np.float32]:
    """The map's heights at the nodes of a grid, shape (rows, columns), metres; NaN in holes."""
    latitude, longitude = _geographic(grid.axes, grid.x[None, :], grid.y[:, None])
    return moon_map.resample(latitude, longitude, grid.spacing_m)


def _raster_part(moon_map: LunarMap, grid: GnomonicGrid) -> RasterPart | None:
    """The pixels that the nodes of a grid lie on, found from the nodes around its edge.

    Between two of those the edge may reach a little further, and it may go around a pole: a node
    inside can lie off the part's limits.
    """
    x, y = grid.x, grid.y
    edge_x = np.concatenate([x, np.full_like(y, x[-1]), x[::-1], np.full_like(y, x[0])])
    edge_y = np.concatenate([np.full_like(x, y[0]), y, np.full_like(x, y[-1]), y[::-1]])
    latitude, longitude = _geographic(grid.axes, edge_x, edge_y)
    return moon_map.part_within(latitude, longitude, grid.spacing_m, grid.rows * grid.columns)


def _geographic(
    axes: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude and longitude (radians) of gnomonic coordinates, which are broadcast together."""
    east, north, up = axes
    body = [up[i] + x * east[i] + y * north[i] for i in range(3)]
    return np.arctan2(body[2], np.hypot(body[0], body[1])), np.arctan2(body[1], body[0])


def _anchored(
    centre_m: NDArray[np.float64], bounds: tuple[float, float, float, float]
) -> tuple[NDArray[np.float64], tuple[float, float, float, float]]:
    """Axes at a whole degree near a centre, and the bounds about it.

    One place is always sampled at the same nodes, whatever prior asked for it.
    """
    latitude, longitude, _ = geographic_from_position(centre_m)
    anchor = position_from_geographic(
        np.deg2rad(np.round(np.rad2deg(latitude))), np.deg2rad(np.round(np.rad2deg(longitude))), 0.0
    )
    axes = east_north_up(anchor)
    x_min, x_max, y_min, y_max = bounds
    corners = np.array([[x, y, 1.0] for x in (x_min, x_max) for y in (y_min, y_max)])
    local = corners @ east_north_up(centre_m) @ axes.T
    x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    return axes, (float(x.min()), float(x.max()), float(y.min()), float(y.max()))


def _fill_holes(heights: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill holes from ever wider surroundings (normalised averages of a pyramid)."""
    if not hole.any():
        return heights
    if hole.all():
        return np.zeros_like(heights)
    value = np.where(hole, np.float32(0), heights).astype(np.float32)
    weight = (~hole).astype(np.float32)
    filled = value.copy()
    missing = hole.copy()
    size = (heights.shape[1], heights.shape[0])
    while missing.any():
        value = np.asarray(cv2.pyrDown(value), dtype=np.float32)
        weight = np.asarray(cv2.pyrDown(weight), dtype=np.float32)
        wide_weight = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)
        wide_value = cv2.resize(value, size, interpolation=cv2.INTER_LINEAR)
        found = missing & (wide_weight > 1e-4)
        filled[found] = wide_value[found] / wide_weight[found]
        missing &= ~found
    return filled
