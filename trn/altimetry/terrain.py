"""Ranges to the map: rays cast from many places at once, and how far the map may be off there."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import HIT, Backend
from trn.maps.lunar_map import LunarMap
from trn.maps.tile import MapTile, cut_tile
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import geographic_from_position, position_from_geographic

Array = NDArray[np.float64]

REACH_M = 60_000.0
"""How far from a tile's whole degree its ground reaches."""

MOST_TILES = 6
RELIEF_SHARE = 0.5
"""Relief between the map's pixels, 1 sigma, as a share of the map's own at its finest scale: what a
Hurst exponent of 0.85 (Rosenburg et al. 2011) leaves below it."""
CORRELATION_PX = 1.5
"""Ground distance over which the map's error changes by a factor e, in map pixels."""


@dataclass(frozen=True, eq=False)
class _Tile:
    tile: MapTile
    surface: Any
    sigma_m: NDArray[np.float32]


class MapRanges:
    """Ranges along beams to the terrain of a map.

    placement: rotation, (3, 3), from believed places to where the map holds them; None where the
    map is taken as it is.
    """

    def __init__(self, moon_map: LunarMap, backend: Backend) -> None:
        self._map = moon_map
        self._backend = backend
        self._tiles: OrderedDict[tuple[int, int], _Tile] = OrderedDict()
        self.placement: Array | None = None

    @property
    def correlation_length_m(self) -> float:
        """Ground distance over which the map's error changes by a factor e."""
        return CORRELATION_PX * self._map.resolution_m

    def ranges_m(self, origins_m: Array, directions: Array) -> Array:
        """Distances from origins, (N, 3), MOON_ME, along unit directions, (N, 3); NaN for none.

        The origins stand within some kilometres of the first.
        """
        origins, rays = self._placed(origins_m), self._placed(directions)
        tile = self._tile(origins[0])
        hits = self._backend.ray_cast(
            tile.surface, tile.tile.to_local(origins), tile.tile.to_local(rays)
        )
        return np.where(hits.state == HIT, hits.range_m, np.nan)

    def height_m(self, position_m: Array) -> float:
        """Height of the map's ground below a place, (3,); NaN in holes and outside."""
        return float(self._map.height_at(self._placed(position_m)))

    def slopes(self, position_m: Array) -> Array:
        """Slopes of the map's ground to east and north below a place, (2,); 0 where unknown."""
        return np.nan_to_num(self._map.gradient_at(self._placed(position_m)))

    def sigma_m(self, position_m: Array) -> float:
        """Error, 1 sigma, of the map's ground below a place: stated, and relief it cannot show."""
        place = self._placed(position_m)
        tile = self._tile(place)
        local = tile.tile.to_local(place)
        surface = tile.tile.surface
        rows, columns = tile.sigma_m.shape
        column = int(np.clip((local[0] / local[2] - surface.x0) / surface.step, 0, columns - 1))
        row = int(np.clip((local[1] / local[2] - surface.y0) / surface.step, 0, rows - 1))
        return float(tile.sigma_m[row, column])

    def _placed(self, vectors: Array) -> Array:
        vectors = np.asarray(vectors, dtype=np.float64)
        return vectors if self.placement is None else np.asarray(vectors @ self.placement.T)

    def _tile(self, position_m: Array) -> _Tile:
        latitude, longitude, _ = geographic_from_position(position_m)
        key = int(np.round(np.rad2deg(latitude))), int(np.round(np.rad2deg(longitude)))
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
        power = cv2.GaussianBlur(finest * finest, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT)
        # Noise of the map looks like relief too; what is stated of it is not counted twice.
        relief = np.maximum(power - 0.5 * self._map.height_sigma_m**2, 0.0)
        sigma = np.sqrt(self._map.height_sigma_m**2 + RELIEF_SHARE**2 * relief)
        return _Tile(tile, self._backend.load_surface(tile.surface), sigma.astype(np.float32))
