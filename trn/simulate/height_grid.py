"""Heights on a geographic grid: what the truth terrain stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray

from trn.errors import InputError
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

MOST_PIXELS = 40_000_000
"""Bound on a grid cut from a map (memory)."""

MOST_LATITUDE_DEG = 86.0


@dataclass(frozen=True)
class HeightGrid:
    """Heights on a geographic grid, held at pixel centres.

    height_m: shape (rows, columns), float32, finite, above the reference sphere.
    valid: shape (rows, columns), bool; False where the source had a hole (height_m is a guess).
    latitude_deg, longitude_deg: centre of pixel (0, 0); step_latitude_deg is negative when
    the first row is the northernmost, step_longitude_deg is positive.
    """

    height_m: Array32
    valid: NDArray[np.bool_]
    latitude_deg: float
    longitude_deg: float
    step_latitude_deg: float
    step_longitude_deg: float

    @cached_property
    def spacing_m(self) -> float:
        """Ground distance of two rows."""
        return REFERENCE_RADIUS_M * math.radians(abs(self.step_latitude_deg))

    def packed(self) -> Array:
        """Latitude and longitude of pixel (0, 0) and their steps, radians."""
        return np.radians(
            [
                self.latitude_deg,
                self.longitude_deg,
                self.step_latitude_deg,
                self.step_longitude_deg,
            ]
        )

    @property
    def periodic(self) -> bool:
        """Whether the columns go once around the Moon."""
        return bool(abs(self.height_m.shape[1] * self.step_longitude_deg - 360.0) < 1e-6)

    @classmethod
    def from_geotiff(cls, path: str | Path) -> HeightGrid:
        """Read a GeoTIFF of heights on a geographic grid, whole.

        Whole-metre heights are smoothed within their rounding (half a metre either way), which
        takes the terraces out of flat ground. Raises InputError where it is not such a file.
        """
        try:
            with rasterio.open(path) as source:
                transform, crs = source.transform, source.crs
                whole_metres = np.issubdtype(np.dtype(source.dtypes[0]), np.integer)
                band = source.read(1, masked=True)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{path}: not a readable GeoTIFF ({error})") from error
        if crs is None or not crs.is_geographic or transform.b or transform.d:
            raise InputError(f"{path}: crs: truth terrain needs an unrotated geographic grid")
        if abs(transform.e) <= 0.0 or transform.a <= 0.0:
            raise InputError(f"{path}: transform: columns must run eastwards")
        valid = ~np.ma.getmaskarray(band)
        height = _holes_filled(band.filled(0).astype(np.float32), valid)
        if not np.all(np.isfinite(height)):
            raise InputError(f"{path}: band 1: heights that are not finite and not marked nodata")
        return cls(
            _unrounded(height) if whole_metres else height,
            valid,
            transform.f + 0.5 * transform.e,
            transform.c + 0.5 * transform.a,
            transform.e,
            transform.a,
        )

    @classmethod
    def from_map(cls, moon_map: LunarMap, latitude_deg: float, longitude_deg: float) -> HeightGrid:
        """The part of a map around a place, its finest pixels, at most MOST_PIXELS of them.

        Raises InputError where the map does not hold the place, or it is too near a pole.
        """
        if abs(latitude_deg) > MOST_LATITUDE_DEG:
            raise InputError(
                f"{moon_map.path}: the site at latitude {latitude_deg:g} is too near a pole for "
                f"a geographic grid; choose one within {MOST_LATITUDE_DEG:g} degrees"
            )
        if not math.isfinite(moon_map.height(latitude_deg, longitude_deg)):
            raise InputError(
                f"{moon_map.path}: no height at the site ({latitude_deg:g} N, "
                f"{longitude_deg:g} E); give a map that holds it"
            )
        step = math.degrees(moon_map.resolution_m / REFERENCE_RADIUS_M)
        # Columns as far apart on the ground as rows, where the map is not geographic itself.
        geographic = moon_map.manifest.elevation.projection == "geographic"
        step_east = step if geographic else step / math.cos(math.radians(latitude_deg))
        bounds = moon_map.bounds
        height = bounds.latitude_max_deg - bounds.latitude_min_deg
        width = (bounds.longitude_east_deg - bounds.longitude_west_deg) % 360.0 or 360.0
        reach_north, reach_east = math.inf, math.inf
        if height / step * width / step_east > MOST_PIXELS:
            reach_north = 0.5 * step * math.sqrt(MOST_PIXELS)
            reach_east = 0.5 * step_east * math.sqrt(MOST_PIXELS)
        top = min(bounds.latitude_max_deg, latitude_deg + reach_north, MOST_LATITUDE_DEG)
        bottom = max(bounds.latitude_min_deg, latitude_deg - reach_north, -MOST_LATITUDE_DEG)
        east_of_west = (longitude_deg - bounds.longitude_west_deg) % 360.0
        left = bounds.longitude_west_deg + max(0.0, east_of_west - reach_east)
        right = bounds.longitude_west_deg + min(width, east_of_west + reach_east)
        rows, columns = round((top - bottom) / step), round((right - left) / step_east)
        latitude = np.radians(top - step * (np.arange(rows) + 0.5))
        longitude = np.radians(left + step_east * (np.arange(columns) + 0.5))
        values = np.empty((rows, columns), np.float32)
        for first in range(0, rows, 256):
            block = slice(first, min(first + 256, rows))
            values[block] = moon_map.resample(latitude[block, None], longitude, 0.0)
        valid = np.isfinite(values)
        filled = _holes_filled(np.where(valid, values, 0.0).astype(np.float32), valid)
        return cls(filled, valid, top - 0.5 * step, left + 0.5 * step_east, -step, step_east)

    def indices(self, latitude_deg: Array, longitude_deg: Array) -> tuple[Array, Array]:
        """Fractional rows and columns of places; longitudes as near as may be to the middle."""
        middle = self.longitude_deg + 0.5 * (self.height_m.shape[1] - 1) * self.step_longitude_deg
        longitude = middle + (longitude_deg - middle + 180.0) % 360.0 - 180.0
        row = (latitude_deg - self.latitude_deg) / self.step_latitude_deg
        return row, (longitude - self.longitude_deg) / self.step_longitude_deg

    def covers(self, latitude_deg: Array, longitude_deg: Array) -> NDArray[np.bool_]:
        """Whether places lie inside, on ground that the source knew."""
        row, column = self.indices(np.asarray(latitude_deg), np.asarray(longitude_deg))
        rows, columns = self.height_m.shape
        inside = (row >= 0) & (column >= 0) & (row <= rows - 1) & (column <= columns - 1)
        r = np.where(inside, row, 0).round().astype(np.int64)
        c = np.where(inside, column, 0).round().astype(np.int64)
        return np.asarray(inside & self.valid[r, c])


def _holes_filled(height_m: Array32, valid: NDArray[np.bool_]) -> Array32:
    """Holes take the mean of valid heights around them, looked for ever farther away."""
    if valid.all():
        return height_m
    if not valid.any():
        raise InputError("height grid: every pixel is nodata; give a map with data")
    filled = np.where(valid, height_m, 0.0).astype(np.float32)
    known = valid.copy()
    size = 9
    while not known.all():
        weight = cv2.blur(known.astype(np.float32), (size, size))
        total = cv2.blur(np.where(known, filled, 0.0).astype(np.float32), (size, size))
        found = ~known & (weight > 1e-6)
        filled[found] = total[found] / weight[found]
        known |= found
        size = min(2 * size + 1, 2 * max(height_m.shape) + 1)
    return filled


def _unrounded(height_m: Array32) -> Array32:
    """Heights rounded to whole metres, smoothed within the rounding where ground is flat.

    On rough ground the rounding hides among the slopes and heights are left as they are.
    """
    smooth = height_m
    for _ in range(6):
        blurred = cv2.GaussianBlur(smooth, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT)
        smooth = np.clip(blurred, height_m - 0.5, height_m + 0.5).astype(np.float32)
    bend = height_m - cv2.GaussianBlur(height_m, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT)
    power = cv2.GaussianBlur(bend * bend, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT)
    flat = 1.0 / (1.0 + power * power)
    return np.asarray(height_m + flat * (smooth - height_m), dtype=np.float32)
