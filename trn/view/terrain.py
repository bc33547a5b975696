"""Terrain under one Sun around a view, kept from frame to frame while it still serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend
from trn.backend.terrain_cut import GnomonicGrid
from trn.camera import Camera
from trn.maps.lunar_map import LunarMap
from trn.maps.tile import terrain_cut
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.moon.pose import Pose
from trn.view.footprint import Footprint, footprint_of

MOST_SHADOW_M = 25_000.0
SUN_TOLERANCE_RAD = 2e-4
SPARE_SHARE = 0.25
FINEST_SHARE_OF_PIXEL = 0.5
NODES_OF_MAP = 0.7
"""Distance of nodes, of the map's pixel: east to west its pixels stand closer the further north."""


@dataclass(frozen=True, eq=False)
class LitTerrain:
    """Terrain on a backend with its lit fraction a node, for one Sun.

    tile: where its nodes stand. detail_m: size of the finest detail that the terrain holds.
    surface, lit: the backend's handles.
    sun: unit vector to the Sun, body-fixed; sun_local: in the tile's axes. centre, bounds: place of
    the view it was made for, and the gnomonic box about that place that it covers.
    """

    tile: GnomonicGrid
    detail_m: float
    surface: Any
    lit: Any
    sun: NDArray[np.float64]
    sun_local: NDArray[np.float64]
    centre: NDArray[np.float64]
    bounds: tuple[float, float, float, float]


class TerrainCache:
    """Cuts and shadows the terrain of a view, or hands out the last one where it still covers."""

    def __init__(self, moon_map: LunarMap, backend: Backend) -> None:
        self._map = moon_map
        self._backend = backend
        self._last: LitTerrain | None = None

    def footprint(self, camera: Camera, pose: Pose) -> Footprint | None:
        """The footprint of a view on this map's range of heights."""
        return footprint_of(camera, pose, self._map.height_range_m)

    def terrain(
        self,
        camera: Camera,
        footprint: Footprint,
        margin_m: float,
        sun: NDArray[np.float64],
    ) -> LitTerrain:
        """Lit terrain that covers a footprint with a margin, and what shadows it from the Sun."""
        margin = margin_m / REFERENCE_RADIUS_M
        wanted_spacing = max(
            NODES_OF_MAP * self._map.resolution_m,
            FINEST_SHARE_OF_PIXEL * footprint.median_range_m / min(camera.fx, camera.fy),
        )
        last = self._last
        if last is not None and self._still_serves(last, footprint, margin, wanted_spacing, sun):
            return last
        side = max(
            footprint.bounds[1] - footprint.bounds[0], footprint.bounds[3] - footprint.bounds[2]
        )
        bounds = footprint.widened(margin + SPARE_SHARE * min(margin, side))
        cut = terrain_cut(
            self._map, footprint.centre, self._towards_sun(bounds, footprint, sun), wanted_spacing
        )
        surface = self._backend.cut_surface(cut)
        sun_local = cut.grid.to_local(sun)
        lit = self._backend.shadow(surface, sun_local)
        self._last = LitTerrain(
            cut.grid,
            max(cut.grid.spacing_m, self._map.resolution_m),
            surface,
            lit,
            sun,
            sun_local,
            footprint.centre,
            bounds,
        )
        return self._last

    def _towards_sun(
        self,
        bounds: tuple[float, float, float, float],
        footprint: Footprint,
        sun: NDArray[np.float64],
    ) -> tuple[float, float, float, float]:
        """The bounds, stretched towards the Sun by the longest shadow that can fall into them."""
        elevation = float(np.arcsin(np.clip(sun @ footprint.centre, -1.0, 1.0)))
        low, high = self._map.height_range_m
        length = min((high - low) / np.tan(max(elevation, 0.02)), MOST_SHADOW_M)
        reach = length / REFERENCE_RADIUS_M
        east, north, _ = east_north_up(footprint.centre) @ sun
        flat = max(float(np.hypot(east, north)), 1e-12)
        x, y = reach * float(east) / flat, reach * float(north) / flat
        x_min, x_max, y_min, y_max = bounds
        return x_min + min(x, 0), x_max + max(x, 0), y_min + min(y, 0), y_max + max(y, 0)

    @staticmethod
    def _still_serves(
        last: LitTerrain,
        footprint: Footprint,
        margin: float,
        spacing_m: float,
        sun: NDArray[np.float64],
    ) -> bool:
        """Whether the last terrain covers a view, at about its spacing, under the same Sun."""
        if float(np.linalg.norm(last.sun - sun)) > SUN_TOLERANCE_RAD:
            return False
        if not 0.6 * last.tile.spacing_m <= spacing_m <= 1.4 * last.tile.spacing_m:
            return False
        centre = east_north_up(last.centre) @ footprint.centre
        if centre[2] < 0.9:
            return False
        x, y = centre[0] / centre[2], centre[1] / centre[2]
        x_min, x_max, y_min, y_max = footprint.widened(margin)
        have = last.bounds
        return bool(
            x + x_min >= have[0]
            and x + x_max <= have[1]
            and y + y_min >= have[2]
            and y + y_max <= have[3]
        )
