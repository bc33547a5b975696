"""The world of a scenario: true ground from a map, or made by code where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from trn.maps.build import build_map
from trn.maps.lunar_map import LunarMap
from trn.moon.frames import position_from_geographic
from trn.simulate.bands import over_bands
from trn.simulate.height_grid import HeightGrid
from trn.simulate.noise import noise_at, seed_word
from trn.simulate.scenario import Scenario
from trn.simulate.site import named_site
from trn.simulate.terrain import ReliefSettings, TruthTerrain

MAP_ERROR = 4
"""Purpose of a seed (`noise.seed_word`)."""

EMBEDDED_PIXELS_PER_DEGREE = 128
ESTIMATOR_HEIGHT_SIGMA_M = 8.0

# Lattices of the map's error in its pixels, and their shares of its variance.
_ERROR_LATTICES_PX = ((4.0, 0.7), (2.0, 0.3))


@dataclass(frozen=True)
class World:
    """True ground and where it comes from.

    map_name, map_sha256: of the map, or the region's name and nothing where it was made.
    """

    terrain: TruthTerrain
    map_name: str
    map_sha256: str


def world_from_map(scenario: Scenario, moon_map: LunarMap, seed: int) -> World:
    """The true ground that a map is the map of: its heights, what they miss, and finer relief.

    The estimator may be given the same map: it does not know the ground better than
    scenario.terrain.map_error_m. Raises InputError where the map does not hold the site.
    """
    grid = HeightGrid.from_map(
        moon_map, scenario.site.latitude_deg, scenario.site.longitude_east_deg
    )
    _add_map_error(grid, scenario.terrain.map_error_m, seed)
    elevation = moon_map.manifest.elevation.file
    sha256 = moon_map.manifest.files[elevation].sha256
    return World(TruthTerrain(grid, seed, _relief(scenario)), moon_map.name, sha256)


def world_from_region(scenario: Scenario, site_path: Path, seed: int) -> World:
    """The true ground of a region made by code, written to site_path on the way."""
    named_site(
        site_path,
        scenario.terrain.region,
        seed=seed,
        pixels_per_degree=EMBEDDED_PIXELS_PER_DEGREE,
    )
    grid = HeightGrid.from_geotiff(site_path)
    return World(TruthTerrain(grid, seed, _relief(scenario)), scenario.terrain.region, "")


def estimator_map(site_path: Path, folder: Path, seed: int) -> LunarMap:
    """The map that an estimator is given of a made region: 2 x 2 means with height noise.

    folder: NAME.map, to be written.
    """
    with rasterio.open(site_path) as source:
        heights = source.read(1).astype(np.float64)
        profile = source.profile
    rows, columns = heights.shape[0] // 2, heights.shape[1] // 2
    coarse = heights[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    rng = np.random.default_rng([seed, MAP_ERROR])
    coarse += rng.normal(0.0, ESTIMATOR_HEIGHT_SIGMA_M, coarse.shape)
    fine = profile["transform"]
    profile.update(
        dtype="float32",
        width=columns,
        height=rows,
        transform=Affine(2 * fine.a, 0.0, fine.c, 0.0, 2 * fine.e, fine.f),
    )
    profile.pop("predictor", None)
    path = site_path.with_name(f"{site_path.stem}_coarse.tif")
    with rasterio.open(path, "w", **profile) as target:
        target.write(coarse.astype(np.float32), 1)
    return build_map([path], folder, height_sigma_m=ESTIMATOR_HEIGHT_SIGMA_M)


def _relief(scenario: Scenario) -> ReliefSettings:
    return ReliefSettings(fractal=scenario.terrain.fractal, craters=scenario.terrain.craters)


def _add_map_error(grid: HeightGrid, sigma_m: float, seed: int) -> None:
    """Add to a grid, in place, what its map does not know of the ground."""
    rows, columns = grid.height_m.shape
    latitude = np.radians(grid.latitude_deg + grid.step_latitude_deg * np.arange(rows))
    longitude = np.radians(grid.longitude_deg + grid.step_longitude_deg * np.arange(columns))
    words = [seed_word(seed, MAP_ERROR), seed_word(seed, MAP_ERROR + 1)]

    def work(first: int, last: int) -> None:
        points = position_from_geographic(latitude[first:last, None], longitude[None, :], 0.0)
        for (lattice_px, share), word in zip(_ERROR_LATTICES_PX, words, strict=True):
            error = noise_at(points, lattice_px * grid.spacing_m, word)
            grid.height_m[first:last] += (sigma_m * np.sqrt(share) * error).astype(np.float32)

    if sigma_m > 0.0:
        over_bands(work, rows)
