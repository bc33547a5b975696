"""Products made for the tests of trn.maps: smooth terrain written as GeoTIFF in any projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray

GEOGRAPHIC = "IAU_2015:30100"
NORTH_POLAR = "IAU_2015:30130"
MOON_2000 = (
    'GEOGCS["GCS_Moon_2000",DATUM["D_Moon_2000",SPHEROID["Moon_2000_IAU_IAG",1737400.0,0.0]],'
    'PRIMEM["Reference_Meridian",0.0],UNIT["Degree",0.0174532925199433]]'
)


def terrain(latitude_deg: Any, longitude_deg: Any) -> NDArray[np.float64]:
    """Smooth heights, metres, periodic in longitude, and single at the poles."""
    latitude, longitude = np.deg2rad(latitude_deg), np.deg2rad(longitude_deg)
    x = np.cos(latitude) * np.cos(longitude)
    y = np.cos(latitude) * np.sin(longitude)
    z = np.sin(latitude)
    heights = 3000.0 * np.sin(9.0 * x) + 2000.0 * np.cos(11.0 * y + 1.0) + 500.0 * np.sin(8.0 * z)
    return np.asarray(heights)


def write_raster(
    path: Path,
    heights: NDArray[Any],
    corner: tuple[float, float],
    pixel: tuple[float, float],
    crs: str | None = GEOGRAPHIC,
    **profile: Any,
) -> Path:
    """A GeoTIFF with the outer corner (left, top) and pixel size (x, y) given."""
    tags = profile.pop("scale_offset", None)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=heights.shape[0],
        width=heights.shape[1],
        count=1,
        dtype=heights.dtype,
        crs=crs,
        transform=rasterio.Affine(pixel[0], 0.0, corner[0], 0.0, -pixel[1], corner[1]),
        **profile,
    ) as dataset:
        dataset.write(heights, 1)
        if tags is not None:
            dataset.scales, dataset.offsets = (tags[0],), (tags[1],)
    return path


def write_terrain(
    path: Path,
    shape: tuple[int, int],
    corner: tuple[float, float],
    pixel: float,
    crs: str = GEOGRAPHIC,
    dtype: str = "float32",
    **profile: Any,
) -> Path:
    """A GeoTIFF of `terrain` in any lunar projection."""
    system = pyproj.CRS.from_user_input(crs)
    to_ground = pyproj.Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
    x = corner[0] + (np.arange(shape[1]) + 0.5) * pixel
    y = corner[1] - (np.arange(shape[0]) + 0.5) * pixel
    longitude, latitude = to_ground.transform(*np.meshgrid(x, y))
    heights = terrain(latitude, longitude)
    if np.issubdtype(np.dtype(dtype), np.integer):
        heights = np.round(heights)
    return write_raster(path, heights.astype(dtype), corner, (pixel, pixel), crs, **profile)
