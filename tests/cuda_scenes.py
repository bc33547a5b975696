"""What the kernels are compared on: searches and terrain, random and adversarial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.test_backend_raycast import rough, surface_of
from trn.backend.protocol import Searches, Surface
from trn.backend.terrain_cut import GnomonicGrid, RasterPart
from trn.camera import Camera
from trn.maps.build import build_map
from trn.maps.lunar_map import LunarMap
from trn.maps.sampling import pixel_coordinates, sample_window
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.render import render
from trn.simulate.site import synthetic_site
from trn.simulate.terrain import TruthTerrain


def searches_of(size_px: int, places: list[tuple[int, int, int, int, int, int]]) -> Searches:
    """Searches from (template x, y, window x, y, columns, rows) each."""
    numbers = np.array(places, dtype=np.int32).reshape(-1, 6).T
    return Searches(size_px, *numbers)


def random_searches(seed: int, count: int, size_px: int, side: int, most: int) -> Searches:
    """Windows of unequal size anywhere in an image of a side, the template near their middle."""
    random = np.random.default_rng(seed)
    places = []
    for _ in range(count):
        columns, rows = random.integers(1, most + 1, 2)
        x, y = random.integers(0, side - size_px - np.array([columns, rows]) + 2)
        places.append((x + columns // 2, y + rows // 2, x, y, columns, rows))
    return searches_of(size_px, places)


def holed(surface: Surface, seed: int) -> Surface:
    """The surface with a few holes."""
    random = np.random.default_rng(seed)
    for row, column in random.integers(0, np.array(surface.hole.shape) - 12, (6, 2)):
        surface.hole[row : row + 12, column : column + 9] = True
    return surface


def rough_surface(seed: int, rows: int = 160, columns: int = 160) -> Surface:
    """Rough terrain with holes, of any shape up to 160 x 160 nodes."""
    return holed(surface_of(rough(seed)[:rows, :columns]), seed)


def all_round(seed: int, count: int) -> NDArray[np.float64]:
    """Rays in every direction, most of them down."""
    rays = np.random.default_rng(seed).normal(size=(count, 3)) - np.array([0.0, 0.0, 1.0])
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def above(altitude_m: float) -> NDArray[np.float64]:
    """A place over the middle of the grid."""
    return np.array([0.0, 0.0, REFERENCE_RADIUS_M + altitude_m])


def heights_of_part(grid: GnomonicGrid, part: RasterPart) -> NDArray[np.float32]:
    """The heights that the map's own sampling takes from a part of a raster, at nodes."""
    east, north, up = grid.axes
    x, y = (values.ravel() for values in np.meshgrid(grid.x, grid.y))
    body = up[:, None] + x * east[:, None] + y * north[:, None]
    latitude = np.arctan2(body[2], np.hypot(body[0], body[1]))
    longitude = np.arctan2(body[1], body[0])
    places = pixel_coordinates(part.projection, part.geometry, latitude, longitude)
    heights = sample_window(
        part.window.values,
        part.window.first_row,
        part.first_column,
        part.limits,
        *places,
        cubic=True,
    )
    return heights.reshape(grid.rows, grid.columns)


def frame_from_above(
    folder: Path, camera: Camera
) -> tuple[LunarMap, Pose, NDArray[np.float64], NDArray[np.generic]]:
    """A made region's map, a pose 50 km up, the Sun, and what the camera sees."""
    site = synthetic_site(folder / "site.tif", seed=3, size_deg=5.0)
    moon_map = build_map([site], folder / "site.map")
    position = position_from_geographic(np.deg2rad(46.5), np.deg2rad(44.5), 5e4)
    east, north, up = east_north_up(position)
    axes = Rotation.from_matrix(np.stack([east, -north, -up]))
    truth = Pose(position, np.asarray(axes.as_quat()))
    sun = 0.9 * east + np.sqrt(1 - 0.81) * up
    image = render(TruthTerrain.from_geotiff(site, seed=3), camera, truth, sun, seed=1).image
    return moon_map, truth, sun, image
