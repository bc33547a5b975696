"""A landing site made by code: heights for `trn demo` and tests where no map is at hand.

Fractal highland and mare ground, an Atlas-like 87 km crater, and craters down to a few pixels
by a published size-frequency distribution, worn more or less. It resembles the Moon in its
statistics; it is no real place.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.bands import over_bands
from trn.simulate.craters import density_per_km2, stamp
from trn.simulate.noise import noise_at, seed_word
from trn.simulate.terrain import Patch

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
# Lava on the large crater's floor: relief left there, as a fraction.
_FLOOR_RELIEF = 0.3


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
    path = Path(path)
    rows = round(size_deg * pixels_per_degree)
    columns = round(rows / math.cos(math.radians(centre_latitude_deg)))
    top = centre_latitude_deg + 0.5 * rows / pixels_per_degree
    left = centre_longitude_deg - 0.5 * columns / pixels_per_degree
    latitude = np.radians(top - (np.arange(rows) + 0.5) / pixels_per_degree)
    longitude = np.radians(left + (np.arange(columns) + 0.5) / pixels_per_degree)
    points = position_from_geographic(latitude[:, None], longitude[None, :], 0.0)
    ground = _ground(
        points,
        position_from_geographic(
            math.radians(centre_latitude_deg), math.radians(centre_longitude_deg), 0.0
        ),
        REFERENCE_RADIUS_M * math.radians(1.0 / pixels_per_degree),
        seed,
        large_crater,
    )
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tif")
    with rasterio.open(
        temporary,
        "w",
        driver="GTiff",
        dtype="int16",
        nodata=-32768,
        count=1,
        width=columns,
        height=rows,
        crs=CRS.from_wkt(MOON_GEOGRAPHIC_WKT),
        transform=Affine(1 / pixels_per_degree, 0, left, 0, -1 / pixels_per_degree, top),
        compress="deflate",
        tiled=True,
    ) as out:
        out.write(np.rint(ground).astype(np.int16), 1)
        out.update_tags(SOURCE=f"trn synthetic site, seed {seed}", UNITS="m")
    temporary.replace(path)
    return path


def _ground(
    points_m: Array, centre_m: Array, spacing_m: float, seed: int, large_crater: bool
) -> Array:
    """Heights at points of the sphere: craters on fractal ground."""
    height = np.full(points_m.shape[:-1], _BASE_HEIGHT_M)
    relief_share = np.ones_like(height)
    if large_crater:
        radii = np.linalg.norm(points_m - centre_m, axis=-1) / (0.5 * ATLAS_LIKE_DIAMETER_M)
        blend = np.clip((radii - 0.55) / 0.4, 0.0, 1.0)
        relief_share = _FLOOR_RELIEF + (1.0 - _FLOOR_RELIEF) * blend * blend * (3.0 - 2.0 * blend)
    lattice_m, amplitude_m, octave = _GROUND_LATTICE_M, _GROUND_AMPLITUDE_M, 0
    while lattice_m >= 1.5 * spacing_m:
        layer = _noise_layer(points_m, lattice_m, seed_word(seed, _GROUND + octave))
        height += amplitude_m * relief_share * layer
        lattice_m, amplitude_m = 0.5 * lattice_m, amplitude_m * 0.5**_GROUND_HURST
        octave += 1
    frame = east_north_up(centre_m)
    local = points_m @ frame.T
    extent = float(np.abs(local[..., :2] / local[..., 2:]).max()) * 1.01
    step = spacing_m / REFERENCE_RADIUS_M
    samples = 2 * math.ceil(extent / step) + 1
    u0 = -(samples // 2) * step
    relief = np.zeros((samples, samples), np.float32)
    craters = _site_craters(centre_m, extent, spacing_m, seed, large_crater)

    def stamp_rows(first: int, last: int) -> None:
        for centre, diameter_m, strength in craters:
            stamp(relief, frame, u0, u0, step, centre, diameter_m, strength, first, last)

    over_bands(stamp_rows, samples)
    height += Patch(relief, frame, u0, u0, step).height_at(points_m)
    return height


def _noise_layer(points_m: Array, lattice_m: float, word: np.uint64) -> Array:
    """One octave of noise at many points, its rows shared over threads."""
    layer = np.empty(points_m.shape[:-1])

    def work(first: int, last: int) -> None:
        layer[first:last] = noise_at(points_m[first:last], lattice_m, word)

    over_bands(work, len(layer))
    return layer


def _site_craters(
    centre_m: Array, extent: float, spacing_m: float, seed: int, large_crater: bool
) -> list[tuple[Array, float, float]]:
    """Unit vector, diameter (metres) and strength of each crater, old to young."""
    rng = np.random.default_rng([seed, _GROUND])
    frame = east_north_up(centre_m)
    smallest_km, largest_km = 5.0 * spacing_m * 1e-3, 40.0
    side = 2.0 * extent
    area_km2 = (side * REFERENCE_RADIUS_M * 1e-3) ** 2
    edges = np.geomspace(smallest_km, largest_km, 80)
    density = np.array([density_per_km2(float(d), _SURFACE_AGE_GYR) for d in edges])
    number = int(rng.poisson(area_km2 * (density[0] - density[-1])))
    drawn = density[-1] + rng.uniform(size=number) * (density[0] - density[-1])
    diameters_m = 1e3 * np.exp(np.interp(drawn, density[::-1], np.log(edges)[::-1]))
    u, v = rng.uniform(-extent, extent, (2, number))
    directions = frame[2] + u[:, None] * frame[0] + v[:, None] * frame[1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = 10.0 ** -rng.uniform(0.0, 1.0, number)
    craters = [
        (directions[k], float(diameters_m[k]), float(strengths[k]))
        for k in np.argsort(-diameters_m)
    ]
    if large_crater:
        craters.insert(0, (frame[2], ATLAS_LIKE_DIAMETER_M, 0.9))
    return craters
