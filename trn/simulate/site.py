"""Landing sites made by code: heights for `trn demo` and tests where no map is at hand.

Fractal highland and mare ground, and craters down to a few pixels by a published size-frequency
distribution, worn more or less. `synthetic_site` adds an Atlas-like 87 km crater; it resembles
the Moon in its statistics and is no real place. `named_site` adds the named craters of a real
region where they are and as deep as they are, so that it resembles that region in profile.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.bands import over_bands
from trn.simulate.craters import density_per_km2, stamp
from trn.simulate.named_craters import (
    FLOOR_RELIEF,
    SiteGrid,
    load_region,
    province_ground,
    shape_region,
    smoothstep,
)
from trn.simulate.noise import noise_at, seed_word
from trn.simulate.patch import Patch

Array = NDArray[np.float64]

MOON_GEOGRAPHIC_WKT = (
    'GEOGCS["Moon (2015) - Sphere / Ocentric",DATUM["Moon (2015) - Sphere",'
    'SPHEROID["Moon (2015) - Sphere",1737400,0]],PRIMEM["Reference Meridian",0],'
    'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AXIS["Latitude",NORTH],AXIS["Longitude",EAST]]'
)
"""IAU_2015:30100, latitude and longitude on the reference sphere."""

ATLAS_LIKE_DIAMETER_M = 87_000.0
"""Diameter of the site's large crater, that of Atlas."""

_GROUND = 11
_BASE_HEIGHT_M = -1500.0
# Rms height of the noise octave with a 32 km lattice; smaller ones fall with a Hurst exponent of
# 0.9. With the craters it comes to highland slopes of 3 to 4 degrees at 1 km (Rosenburg 2011).
_GROUND_AMPLITUDE_M = 260.0
_GROUND_LATTICE_M = 32_000.0
_GROUND_HURST = 0.9
_SURFACE_AGE_GYR = 4.1
_LARGEST_CRATER_KM = 40.0
# A named region lists its large craters; what is drawn at random stays below them.
_LARGEST_UNNAMED_KM = 7.0
# Relief broader than this gives way to a named crater; finer relief lies on top of it.
_FINE_LATTICE_M = 6_000.0


class _Craters(NamedTuple):
    """What craters to draw at random: the surface's age and the largest one."""

    age_gyr: float
    largest_km: float


def synthetic_site(
    path: str | Path,
    *,
    seed: int = 0,
    centre_latitude_deg: float = 46.5,
    centre_longitude_deg: float = 44.5,
    size_deg: float = 6.0,
    pixels_per_degree: int = 128,
    large_crater: bool = True,
) -> Path:
    """Write a site's heights as a geographic int16 GeoTIFF and return its path.

    size_deg: extent in latitude; the extent in longitude is widened by 1/cos(latitude), so that
    the site is about square on the ground. The same arguments give the same file. Heights are
    whole metres above the reference sphere.
    """
    rows = round(size_deg * pixels_per_degree)
    columns = round(rows / math.cos(math.radians(centre_latitude_deg)))
    top = centre_latitude_deg + 0.5 * rows / pixels_per_degree
    left = centre_longitude_deg - 0.5 * columns / pixels_per_degree
    grid = _site_grid(top, left, rows, columns, pixels_per_degree)
    ground = _ground(
        grid,
        position_from_geographic(
            math.radians(centre_latitude_deg), math.radians(centre_longitude_deg), 0.0
        ),
        seed,
        large_crater,
    )
    return _write(Path(path), ground, grid, f"trn synthetic site, seed {seed}")


def named_site(
    path: str | Path, region: str, *, seed: int = 0, pixels_per_degree: int = 128
) -> Path:
    """Write the heights of a named region, made from published facts, and return the path.

    region: one of trn.simulate.named_craters.regions(). A geographic int16 GeoTIFF over the
    region's bounds, whole metres above the reference sphere. The same arguments give the same
    file. InputError for an unknown region and for pixels_per_degree outside 8 to 512.
    """
    facts = load_region(region)
    if not 8 <= pixels_per_degree <= 512:
        raise InputError(f"pixels_per_degree must be 8 to 512, got {pixels_per_degree}")
    (south, north), (west, east) = facts.latitude_deg, facts.longitude_east_deg
    rows = round((north - south) * pixels_per_degree)
    columns = round((east - west) * pixels_per_degree)
    grid = _site_grid(north, west, rows, columns, pixels_per_degree)
    height, roughness = province_ground(facts, grid, seed)
    fine = np.zeros_like(height)
    _add_noise(height, fine, grid, roughness, seed)
    centre = position_from_geographic(
        math.radians(0.5 * (south + north)), math.radians(0.5 * (west + east)), 0.0
    )
    drawn = _Craters(facts.surface_age_gyr, _LARGEST_UNNAMED_KM)
    fine += _crater_relief(grid, centre, seed, drawn, [])
    share = np.ones_like(height)
    shape_region(facts, height, share, grid, seed)
    height += share * fine
    return _write(Path(path), height, grid, f"trn named site {region}, seed {seed}")


def _site_grid(
    top_deg: float, left_deg: float, rows: int, columns: int, pixels_per_degree: int
) -> SiteGrid:
    """The grid of a site from its north-west corner."""
    latitude = np.radians(top_deg - (np.arange(rows) + 0.5) / pixels_per_degree)
    longitude = np.radians(left_deg + (np.arange(columns) + 0.5) / pixels_per_degree)
    points = position_from_geographic(latitude[:, None], longitude[None, :], 0.0)
    step = 1 / pixels_per_degree
    return SiteGrid(latitude, longitude, points, Affine(step, 0, left_deg, 0, -step, top_deg))


def _write(path: Path, height_m: Array, grid: SiteGrid, source: str) -> Path:
    """Write heights as a geographic GeoTIFF in one step: a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tif")
    with rasterio.open(
        temporary,
        "w",
        driver="GTiff",
        dtype="int16",
        nodata=-32768,
        count=1,
        width=height_m.shape[1],
        height=height_m.shape[0],
        crs=CRS.from_wkt(MOON_GEOGRAPHIC_WKT),
        transform=grid.transform,
        compress="deflate",
        tiled=True,
    ) as out:
        out.write(np.rint(height_m).astype(np.int16), 1)
        out.update_tags(SOURCE=source, UNITS="m")
    temporary.replace(path)
    return path


def _ground(grid: SiteGrid, centre_m: Array, seed: int, large_crater: bool) -> Array:
    """Heights of the anonymous site: craters on fractal ground."""
    height = np.full(grid.points_m.shape[:-1], _BASE_HEIGHT_M)
    relief_share = np.ones_like(height)
    craters = []
    if large_crater:
        radii = np.linalg.norm(grid.points_m - centre_m, axis=-1) / (0.5 * ATLAS_LIKE_DIAMETER_M)
        blend = smoothstep((radii - 0.55) / 0.4)
        relief_share = FLOOR_RELIEF + (1.0 - FLOOR_RELIEF) * blend
        craters.append((centre_m / np.linalg.norm(centre_m), ATLAS_LIKE_DIAMETER_M, 0.9))
    _add_noise(height, height, grid, _GROUND_AMPLITUDE_M * relief_share, seed)
    drawn = _Craters(_SURFACE_AGE_GYR, _LARGEST_CRATER_KM)
    height += _crater_relief(grid, centre_m, seed, drawn, craters)
    return height


def _add_noise(
    broad_m: Array, fine_m: Array, grid: SiteGrid, roughness_m: Array, seed: int
) -> None:
    """Add fractal relief in place, octaves down to a pixel or two, split at _FINE_LATTICE_M.

    roughness_m: rms height of the octave with a 32 km lattice at each pixel.
    """
    lattice_m, share, octave = _GROUND_LATTICE_M, 1.0, 0
    while lattice_m >= 1.5 * grid.spacing_m():
        layer = _noise_layer(grid.points_m, lattice_m, seed_word(seed, _GROUND + octave))
        target = broad_m if lattice_m > _FINE_LATTICE_M else fine_m
        target += share * roughness_m * layer
        lattice_m, share = 0.5 * lattice_m, share * 0.5**_GROUND_HURST
        octave += 1


def _crater_relief(
    grid: SiteGrid,
    centre_m: Array,
    seed: int,
    drawn: _Craters,
    first_craters: list[tuple[Array, float, float]],
) -> Array:
    """Relief of craters drawn at random, after the given ones, at the pixels of a grid."""
    spacing_m = grid.spacing_m()
    frame = east_north_up(centre_m)
    local = grid.points_m @ frame.T
    extent = float(np.abs(local[..., :2] / local[..., 2:]).max()) * 1.01
    step = spacing_m / REFERENCE_RADIUS_M
    samples = 2 * math.ceil(extent / step) + 1
    u0 = -(samples // 2) * step
    relief = np.zeros((samples, samples), np.float32)
    craters = [*first_craters, *_random_craters(frame, extent, spacing_m, seed, drawn)]

    def stamp_rows(first: int, last: int) -> None:
        for centre, diameter_m, strength in craters:
            stamp(relief, frame, u0, u0, step, centre, diameter_m, strength, 0.0, first, last)

    over_bands(stamp_rows, samples)
    return Patch(relief, frame, u0, u0, step).height_at(grid.points_m)


def _noise_layer(points_m: Array, lattice_m: float, word: np.uint64) -> Array:
    """One octave of noise at many points, its rows shared over threads."""
    layer = np.empty(points_m.shape[:-1])

    def work(first: int, last: int) -> None:
        layer[first:last] = noise_at(points_m[first:last], lattice_m, word)

    over_bands(work, len(layer))
    return layer


def _random_craters(
    frame: Array, extent: float, spacing_m: float, seed: int, drawn: _Craters
) -> list[tuple[Array, float, float]]:
    """Unit vector, diameter (metres) and strength of each random crater, large to small."""
    rng = np.random.default_rng([seed, _GROUND])
    smallest_km = min(5.0 * spacing_m * 1e-3, 0.9 * drawn.largest_km)
    side = 2.0 * extent
    area_km2 = (side * REFERENCE_RADIUS_M * 1e-3) ** 2
    edges = np.geomspace(smallest_km, drawn.largest_km, 80)
    density = np.array([density_per_km2(float(d), drawn.age_gyr) for d in edges])
    number = int(rng.poisson(area_km2 * (density[0] - density[-1])))
    levels = density[-1] + rng.uniform(size=number) * (density[0] - density[-1])
    diameters_m = 1e3 * np.exp(np.interp(levels, density[::-1], np.log(edges)[::-1]))
    u, v = rng.uniform(-extent, extent, (2, number))
    directions = frame[2] + u[:, None] * frame[0] + v[:, None] * frame[1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = 10.0 ** -rng.uniform(0.0, 1.0, number)
    return [
        (directions[k], float(diameters_m[k]), float(strengths[k]))
        for k in np.argsort(-diameters_m)
    ]
