"""Ground to train on: real maps below, the simulator's craters on top, and where each one stands.

A region is held twice: as its map is, for scenes so wide that the catalogue lists every crater that
can be seen, and smoothed to the long waves, for close scenes whose craters are all drawn here. In
between, the map shows craters that no list holds; they would be missing from the labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.maps.catalog_file import read_catalog
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up_at
from trn.simulate.craters import OLDEST_WEAR, equilibrium_per_km2, profile_m
from trn.simulate.patch import Patch
from trn.simulate.relief import stamp_all
from trn.simulate.terrain import HeightGrid, ReliefSettings, TruthTerrain

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

CLOSE_M_PER_PX = (0.7, 30.0)
WIDE_M_PER_PX = (115.0, 300.0)
"""From 115 m on, a crater of 8 px has 0.9 km: the catalogues list all of 1 km and more."""

LEAST_DRAWN_PX = 2.2
LEAST_LISTED_PX = 3.5
"""Smaller ones are no labels even where they are seen from nearest."""


_SMOOTHING_PX = 6.0
_SMOOTH_FRACTAL = 1.2  # What smoothing takes from the slopes that the relief's strength follows.


@dataclass(frozen=True)
class Region:
    """A map's ground and the craters listed for it.

    catalogue: (N, 4), unit vector of the centre and diameter in metres.
    """

    name: str
    wide: TruthTerrain
    close: TruthTerrain
    catalogue: Array

    @classmethod
    def load(cls, data: Path, name: str) -> Region:
        """A region of the data folder: maps/NAME_256ppd.tif, catalogs/NAME_craters_1km.csv."""
        grid = HeightGrid.from_geotiff(data / f"maps/{name}_256ppd.tif")
        listed = read_catalog(data / f"catalogs/{name}_craters_1km.csv").catalog
        _, _, centres = east_north_up_at(listed.latitude, listed.longitude)
        catalogue = np.column_stack([centres, listed.diameter_m])
        smooth = cv2.GaussianBlur(grid.height_m, (0, 0), _SMOOTHING_PX)
        bare = ReliefSettings(craters=0.0)
        return cls(
            name,
            TruthTerrain(grid, 1, bare),
            TruthTerrain(replace(grid, height_m=smooth), 2, replace(bare, fractal=_SMOOTH_FRACTAL)),
            catalogue,
        )


@dataclass(frozen=True)
class Ground:
    """The surface of one scene and the craters on it, but for the smallest.

    craters: (N, 3), gnomonic u and v of the centre and diameter in metres. expected_m: (N,), how
    far the inner bowl should lie below the rim as drawn; NaN for the map's own craters. fresh:
    (N,), bool, young enough for bright ejecta.
    """

    patch: Patch
    craters: Array
    expected_m: Array
    fresh: NDArray[np.bool_]


def _diameters_px(rng: np.random.Generator, area_px: float, most_px: float) -> tuple[Array, Array]:
    """Diameters (pixels) and greatest wears of the craters of an area.

    Up to a size the density is that of equilibrium (Trask 1966; no scale of its own: the same in
    pixels as in metres), times a factor; beyond it falls with the cube, as on a younger surface,
    whose craters are the fresher the larger they are.
    """
    share = math.exp(rng.uniform(math.log(0.3), math.log(2.0)))
    knee_px = math.exp(rng.uniform(math.log(10.0), math.log(400.0)))
    sizes = np.geomspace(LEAST_DRAWN_PX, most_px, 200)
    # Per square pixel: equilibrium_per_km2 of sizes taken as metres, an area of 1e6 to the km2.
    equilibrium = np.array([equilibrium_per_km2(1e-3 * size) * 1e-6 for size in sizes])
    density = share * equilibrium * np.minimum(knee_px / sizes, 1.0)
    number = rng.poisson((density[0] - density[-1]) * area_px)
    drawn = density[-1] + (density[0] - density[-1]) * rng.uniform(size=number)
    diameter = np.interp(-drawn, -density, sizes)
    return diameter, OLDEST_WEAR * np.minimum(knee_px / diameter, 1.0)


def lay_ground(
    region: Region,
    wide: bool,
    frame: Array,
    box: tuple[float, float, float, float],
    metres_per_px: float,
    rng: np.random.Generator,
) -> Ground:
    """The ground inside a gnomonic box (see `TruthTerrain.patch`) with drawn craters on it."""
    terrain = region.wide if wide else region.close
    bare = terrain.patch(frame, box, metres_per_px / REFERENCE_RADIUS_M)
    height = bare.height_m
    u_min, u_max, v_min, v_max = bare.box
    area_px = (u_max - u_min) * (v_max - v_min) * (REFERENCE_RADIUS_M / metres_per_px) ** 2
    diameter_px, most_wear = _diameters_px(rng, area_px, 220.0)
    if wide:  # The map has craters of its own.
        kept = rng.uniform(size=len(diameter_px)) < rng.uniform(0.0, 0.5)
        diameter_px, most_wear = diameter_px[kept], most_wear[kept]
    count = len(diameter_px)
    # The exponent makes a surface of mostly fresh or mostly worn craters.
    wear = most_wear * rng.uniform(size=count) ** math.exp(rng.uniform(-0.7, 0.9))
    # Past counting: hollows that are no longer craters.
    wear *= rng.choice([1.0, 1.6], p=[0.6, 0.4])
    uv = np.column_stack([rng.uniform(u_min, u_max, count), rng.uniform(v_min, v_max, count)])
    diameter = diameter_px * metres_per_px
    stamp_all(height, 0, len(height), frame, bare.u0, bare.v0, bare.step,
              _rows(uv, diameter, wear, frame), 1.0)  # fmt: skip
    _add_hills(height, bare, metres_per_px, rng)
    _add_boulders(height, bare, metres_per_px, rng)
    listable = diameter_px >= LEAST_LISTED_PX
    uv, diameter, wear = uv[listable], diameter[listable], wear[listable]
    expected = np.array(
        [profile_m(1.0, d, w) - profile_m(0.3, d, w) for d, w in zip(diameter, wear)]
    ).reshape(-1)
    listed, listed_m = _listed_in(region, frame, bare.box)
    craters = np.concatenate([np.column_stack([uv, diameter]), np.column_stack([listed, listed_m])])
    fresh = np.concatenate([wear < 0.0015, np.zeros(len(listed), bool)])
    return Ground(bare, craters, np.concatenate([expected, np.full(len(listed), np.nan)]), fresh)


def _rows(uv: Array, diameter: Array, wear: Array, frame: Array) -> Array:
    """Craters as `stamp_all` reads them."""
    centre = frame[2] + uv[:, :1] * frame[0] + uv[:, 1:] * frame[1]
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    return np.column_stack([centre, diameter, wear])


def _listed_in(
    region: Region, frame: Array, box: tuple[float, float, float, float]
) -> tuple[Array, Array]:
    """Places (u, v) and diameters of the catalogue's craters in a box and around it."""
    local = region.catalogue[:, :3] @ frame.T
    ahead = local[:, 2] > 0.9
    uv = local[ahead, :2] / local[ahead, 2:]
    diameter = region.catalogue[ahead, 3]
    near = ((uv > [box[0], box[2]]) & (uv < [box[1], box[3]])).all(axis=1)
    return uv[near], diameter[near]


def _add_hills(
    height: Array32, patch: Patch, metres_per_px: float, rng: np.random.Generator
) -> None:
    """A few mounds: craters upside down, which only the side of their shadow tells apart."""
    count = rng.poisson(rng.choice([0.0, 3.0]))
    u_min, u_max, v_min, v_max = patch.box
    uv = np.column_stack([rng.uniform(u_min, u_max, count), rng.uniform(v_min, v_max, count)])
    diameter = metres_per_px * np.exp(rng.uniform(math.log(8.0), math.log(80.0), count))
    mounds = _rows(uv, diameter, rng.uniform(0.005, 0.04, count), patch.frame)
    stamp_all(height, 0, len(height), patch.frame, patch.u0, patch.v0, patch.step,
              mounds, -rng.uniform(0.3, 0.9))  # fmt: skip


def _add_boulders(
    height: Array32, patch: Patch, metres_per_px: float, rng: np.random.Generator
) -> None:
    """Blocks of 1.5 to 7 pixels, strewn or in clusters."""
    if rng.uniform() < 0.6:
        return
    rows, columns = height.shape
    count = rng.poisson(math.exp(rng.uniform(0.0, 4.5)))
    middle = rng.uniform(size=2) * [rows, columns]
    spread = rng.uniform(0.03, 0.6) * max(rows, columns)
    sample_px = patch.spacing_m / metres_per_px
    for row, column in middle + spread * rng.normal(size=(count, 2)):
        radius = 0.75 / sample_px / math.sqrt(1.0 - 0.95 * rng.uniform())
        reach = math.ceil(radius)
        r0, c0 = round(row) - reach, round(column) - reach
        if r0 < 0 or c0 < 0 or r0 + 2 * reach >= rows or c0 + 2 * reach >= columns:
            continue
        y, x = np.mgrid[r0 : r0 + 2 * reach + 1, c0 : c0 + 2 * reach + 1]
        inside = np.maximum(1.0 - ((y - row) ** 2 + (x - column) ** 2) / radius**2, 0.0)
        top_m = rng.uniform(0.4, 1.2) * radius * patch.spacing_m
        height[r0 : r0 + 2 * reach + 1, c0 : c0 + 2 * reach + 1] += (
            top_m * np.sqrt(inside)
        ).astype(np.float32)
