"""Ranges to the map: rays cast from many places at once, and how far the map may be off there."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.backend.protocol import HIT, Backend
from trn.maps.lunar_map import LunarMap
from trn.maps.tile import MapTile, cut_tile
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import position_from_geographic

Array = NDArray[np.float64]

REACH_M = 60_000.0
"""How far from a tile's whole degree its ground reaches."""

LIFT_M = 500.0
"""How far up the beam rays begin."""

MOST_TILES = 6
MOST_GROUNDS = 4
"""One measurement asks for the ground below the same two or three places again and again."""
RELIEF_SHARE = 0.7
"""Relief between the map's pixels, 1 sigma, as a share of the map's own at its finest scale."""
CRATERED_SHARE = 0.012
"""Relief of small craters everywhere, 1 sigma, as a share of the map pixel."""
SLOPE_SHARE = 0.12
"""Error of heights on a slope, 1 sigma, as a share of the rise over a map pixel. All set on ground
made by code around Atlas, where the map's pixel is 474 m."""
CORRELATION_PX = 1.5
"""Ground distance over which the map's error changes by a factor e, in map pixels."""
RELIEF_CORRELATION_PX = 0.5
"""The same of relief between the map's pixels."""
MOVED_RAD = 1e-6
"""A map turned by less lies where it did: 1.7 m of ground."""


@dataclass(frozen=True, eq=False)
class _Tile:
    tile: MapTile
    surface: Any
    relief_m: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ground:
    """height_m: above the reference sphere, NaN in holes and outside. gradient: (3,), MOON_ME, rise
    per metre. stated_m: error that the map states, 1 sigma. relief_m: of relief it cannot show.
    """

    height_m: float
    gradient: Array
    stated_m: float
    relief_m: float

    @property
    def sigma_m(self) -> float:
        """Error of the height, 1 sigma."""
        return math.hypot(self.stated_m, self.relief_m)


@njit(cache=True)
def _ground(
    place: Any, x0: float, y0: float, step: float, heights: Any, hole: Any, reliefs: Any
) -> tuple[float, float, float, float]:
    """Bilinear height, its slopes along x and y, and relief below a place in the tile's axes."""
    rows, columns = heights.shape
    column = (place[0] / place[2] - x0) / step
    row = (place[1] / place[2] - y0) / step
    inside = 0.0 <= column <= columns - 1 and 0.0 <= row <= rows - 1
    c = min(max(int(column), 0), columns - 2)
    r = min(max(int(row), 0), rows - 2)
    u, v = min(max(column - c, 0.0), 1.0), min(max(row - r, 0.0), 1.0)
    h00, h01 = float(heights[r, c]), float(heights[r, c + 1])
    h10, h11 = float(heights[r + 1, c]), float(heights[r + 1, c + 1])
    if not inside or hole[r, c] or hole[r, c + 1] or hole[r + 1, c] or hole[r + 1, c + 1]:
        return np.nan, 0.0, 0.0, float(reliefs[r, c])
    height = (1 - v) * ((1 - u) * h00 + u * h01) + v * ((1 - u) * h10 + u * h11)
    spacing = step * (REFERENCE_RADIUS_M + height)
    by_x = ((1 - v) * (h01 - h00) + v * (h11 - h10)) / spacing
    by_y = ((1 - u) * (h10 - h00) + u * (h11 - h01)) / spacing
    return height, by_x, by_y, float(reliefs[r, c])


class MapRanges:
    """Ranges along beams to the terrain of a map."""

    def __init__(self, moon_map: LunarMap, backend: Backend) -> None:
        self._map = moon_map
        self._backend = backend
        self._tiles: OrderedDict[tuple[int, int], _Tile] = OrderedDict()
        self._placement: Array | None = None
        # How often the map has been moved: ranges cast before are of another map.
        self.edition = 0
        self._grounds: OrderedDict[bytes, Ground] = OrderedDict()

    @property
    def placement(self) -> Array | None:
        """Rotation, (3, 3), from believed places to where the map holds them; None for unity."""
        return self._placement

    @placement.setter
    def placement(self, rotation: Array | None) -> None:
        old = np.eye(3) if self._placement is None else self._placement
        new = np.eye(3) if rotation is None else rotation
        self.edition += bool(np.abs(new - old).max() > MOVED_RAD)
        self._placement = rotation
        self._grounds.clear()

    @property
    def pixel_m(self) -> float:
        """Size of the map's finest pixel."""
        return self._map.resolution_m

    @property
    def correlation_length_m(self) -> float:
        """Ground distance over which the map's error changes by a factor e."""
        return CORRELATION_PX * self._map.resolution_m

    @property
    def relief_length_m(self) -> float:
        """The same of relief between the map's pixels."""
        return RELIEF_CORRELATION_PX * self._map.resolution_m

    def ranges_m(self, origins_m: Array, directions: Array) -> Array:
        """Distances from origins, (N, 3), MOON_ME, along unit directions, (N, 3); NaN for none.

        The origins stand within some kilometres of the first.
        """
        origins, rays = self._placed(origins_m), self._placed(directions)
        tile = self._tile(origins[0])
        # From higher up: near touchdown a place may stand below the map's ground, at less than 0.
        lifted = origins - LIFT_M * rays
        hits = self._backend.ray_cast(
            tile.surface, tile.tile.grid.to_local(lifted), tile.tile.grid.to_local(rays)
        )
        return np.where(hits.state == HIT, hits.range_m - LIFT_M, np.nan)

    def below(self, position_m: Array) -> Ground:
        """The map's ground straight below a place, (3,), MOON_ME."""
        key = np.asarray(position_m, dtype=np.float64).tobytes()
        if key not in self._grounds:
            if len(self._grounds) >= MOST_GROUNDS:
                self._grounds.popitem(last=False)
            self._grounds[key] = self._ground_below(position_m)
        return self._grounds[key]

    def _ground_below(self, position_m: Array) -> Ground:
        place = self._placed(position_m)
        tile = self._tile(place)
        surface = tile.tile.surface
        height, by_x, by_y, relief = _ground(
            tile.tile.grid.to_local(place), surface.x0, surface.y0, surface.step, surface.heights_m,
            surface.hole, tile.relief_m,
        )  # fmt: skip
        # Metres of ground along the tile's axes, which its anchor's east and north are.
        gradient = np.array([by_x, by_y, 0.0]) @ tile.tile.grid.axes
        if self.placement is not None:
            gradient = gradient @ self.placement
        return Ground(height, gradient, self._map.height_sigma_m, relief)

    def height_over_m(self, position_m: Array) -> float:
        """Height of a place over the map's ground, over the sphere where the map has none."""
        ground_m = self.below(position_m).height_m
        height_m = float(np.linalg.norm(position_m)) - REFERENCE_RADIUS_M
        return height_m - (ground_m if math.isfinite(ground_m) else 0.0)

    def _placed(self, vectors: Array) -> Array:
        vectors = np.asarray(vectors, dtype=np.float64)
        return vectors if self.placement is None else np.asarray(vectors @ self.placement.T)

    def _tile(self, position_m: Array) -> _Tile:
        x, y, z = (float(value) for value in position_m)
        latitude, longitude = math.atan2(z, math.hypot(x, y)), math.atan2(y, x)
        key = round(math.degrees(latitude)), round(math.degrees(longitude))
        if key not in self._tiles:
            if len(self._tiles) >= MOST_TILES:
                self._tiles.popitem(last=False)
            self._tiles[key] = self._cut(key)
        self._tiles.move_to_end(key)
        return self._tiles[key]

    def _cut(self, key: tuple[int, int]) -> _Tile:
        centre = position_from_geographic(np.deg2rad(key[0]), np.deg2rad(key[1]), 0.0)
        reach = REACH_M / REFERENCE_RADIUS_M
        tile = cut_tile(self._map, centre, (-reach, reach, -reach, reach), self._map.resolution_m)
        heights = tile.surface.heights_m
        finest = heights - cv2.GaussianBlur(heights, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
        power = cv2.GaussianBlur(finest * finest, (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)
        # Noise of the map looks like relief too; what is stated of it is not counted twice.
        relief = np.maximum(power - 0.5 * self._map.height_sigma_m**2, 0.0)
        smooth = cv2.GaussianBlur(heights, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
        rise = sum(np.square(np.gradient(smooth, axis=axis)) for axis in range(2))
        rise = cv2.GaussianBlur(rise, (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)
        cratered = (CRATERED_SHARE * self._map.resolution_m) ** 2
        sigma = np.sqrt(cratered + RELIEF_SHARE**2 * relief + SLOPE_SHARE**2 * rise)
        return _Tile(tile, self._backend.load_surface(tile.surface), sigma.astype(np.float32))
