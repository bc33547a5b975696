"""Elevation products as they come: their coordinate systems, units and holes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as PixelWindow

from trn.errors import InputError
from trn.maps.grid import Grid, grid_of
from trn.maps.raster import Raster, WindowCache
from trn.moon.constants import REFERENCE_RADIUS_M

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

DRIVERS = ["GTiff", "PDS4", "PDS", "ISIS3", "JP2OpenJPEG"]
"""Plain raster formats only: a VRT could name any file or address."""

RADIUS_TOLERANCE_M = 5_000.0
HEIGHT_LIMITS_M = (-12_000.0, 13_000.0)
"""No place on the Moon is lower or higher (LOLA: -9 130 m and 10 786 m)."""

RADIUS_FROM_M = 1_700_000.0
"""Values above are distances from the centre, not heights."""

RADII_KM = (1_725.0, 1_750.0)
"""Values all in between, of no stated unit, are distances in km (LOLA's float products)."""

EDGE_POINTS = 257
SAMPLE_SIDE = 1024

_UNIT_M = {
    "": 1.0,
    "m": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "km": 1000.0,
    "kilometer": 1000.0,
    "kilometers": 1000.0,
    "kilometre": 1000.0,
    "kilometres": 1000.0,
}


@dataclass(frozen=True)
class Coverage:
    """A region in degrees; the longitudes count on eastwards from the west, without a jump."""

    south: float
    north: float
    west: float
    east: float


@dataclass(frozen=True, eq=False)
class ElevationSource:
    """One elevation product, sampled in heights above the reference sphere.

    placement: where its pixels lie. pixel_m: north-south size of a pixel on the ground. exact: the
    stored int16 numbers are already heights in metres. files: all it is read from (a label and its
    image, side-car files).
    """

    path: Path
    raster: Raster
    placement: Grid | WarpedPlacement
    coverage: Coverage
    pixel_m: float
    exact: bool
    files: tuple[Path, ...]

    @classmethod
    def open(
        cls, path: str | Path, cache: WindowCache | None = None, key: int = 0
    ) -> ElevationSource:
        """Open a product.

        cache: kept in common with other products, each with its own key, to bound memory.
        Raises InputError where it is missing, not a raster, not of the Moon, turned, or holds
        values that cannot be lunar heights.
        """
        place = Path(path)
        with open_raster(place) as dataset:
            crs = lunar_crs(place, dataset.crs)
            transform = dataset.transform
            if transform.b != 0 or transform.d != 0 or transform.a <= 0 or transform.e >= 0:
                raise InputError(f"{place}: geotransform: not north-up; warp it with gdalwarp")
            hole = dataset.nodata
            if hole is None and dataset.dtypes[0] == "int16":
                hole = -32768
            scale_m, offset_m = _to_height(place, dataset, hole, _radius_m(crs))
            exact = dataset.dtypes[0] == "int16" and (scale_m, offset_m) == (1.0, 0.0)
            placement = grid_of(dataset) or WarpedPlacement(crs, transform)
            rows, columns = dataset.shape
            files = tuple(Path(file) for file in dataset.files)
        raster = Raster(
            rows,
            columns,
            isinstance(placement, Grid) and placement.periodic,
            _HeightReader(place, scale_m, offset_m, hole),
            cache or WindowCache(),
            key,
        )
        coverage = _coverage(placement, rows, columns)
        return cls(place, raster, placement, coverage, placement.resolution_m, exact, files)

    def sample(self, latitude_rad: Float64, longitude_rad: Float64) -> Float32:
        """Heights, shape (n,), of points in radians, shape (n,); NaN in holes and outside."""
        row, column = self.placement.pixel_coordinates(latitude_rad, longitude_rad)
        return self.raster.sample(row, column, cubic=True)


@dataclass(frozen=True, eq=False)
class WarpedPlacement:
    """Pixels in a projection that maps are not kept in; PROJ does the sums."""

    crs: pyproj.CRS
    transform: rasterio.Affine

    @property
    def resolution_m(self) -> float:
        """Height of a pixel in metres of the projection."""
        return float(-self.transform.e * self.crs.axis_info[0].unit_conversion_factor)

    def pixel_coordinates(
        self, latitude_rad: Float64, longitude_rad: Float64
    ) -> tuple[Float64, Float64]:
        """Rows and columns, shape (n,), of points; infinite where the projection has no place."""
        to_plane = pyproj.Transformer.from_crs(self.crs.geodetic_crs, self.crs, always_xy=True)
        x, y = to_plane.transform(np.rad2deg(longitude_rad), np.rad2deg(latitude_rad))
        inverse = ~self.transform
        return y * inverse.e + inverse.f - 0.5, x * inverse.a + inverse.c - 0.5

    def geographic(self, row: Any, column: Any) -> tuple[Float64, Float64]:
        """Latitude and longitude (radians) of rows and columns, counted from pixel centres."""
        to_ground = pyproj.Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)
        x = self.transform.c + (np.asarray(column) + 0.5) * self.transform.a
        y = self.transform.f + (np.asarray(row) + 0.5) * self.transform.e
        longitude, latitude = to_ground.transform(x, y)
        return np.deg2rad(latitude), np.deg2rad(longitude)


def open_raster(path: Path) -> Any:
    """Open an outside raster with the plain drivers only; InputError where that fails."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    for driver in DRIVERS:
        try:
            return rasterio.open(path, driver=driver)
        except rasterio.errors.RasterioIOError:
            continue
    raise InputError(f"{path}: not a raster of a kind known ({', '.join(DRIVERS)}); give a GeoTIFF")


def lunar_crs(path: Path, crs: rasterio.CRS | None) -> pyproj.CRS:
    """The coordinate system of a file; InputError where it is none, or not the Moon's."""
    if crs is None:
        raise InputError(
            f"{path}: CRS: none; set the lunar one, e.g. gdal_edit.py -a_srs IAU_2015:30100 {path}"
        )
    try:
        found = pyproj.CRS.from_wkt(crs.to_wkt())
    except (pyproj.exceptions.CRSError, rasterio.errors.CRSError) as error:
        raise InputError(f"{path}: CRS: not understood ({error}); use IAU_2015:30100") from error
    ellipsoid = found.ellipsoid
    if ellipsoid is None or found.geodetic_crs is None:
        raise InputError(f"{path}: CRS: no ellipsoid; set a lunar one such as IAU_2015:30100")
    major, minor = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    if abs(major - REFERENCE_RADIUS_M) > RADIUS_TOLERANCE_M or abs(major - minor) > 1.0:
        raise InputError(
            f"{path}: CRS: its ellipsoid ({major:.0f} m by {minor:.0f} m) is not the Moon's sphere "
            f"of {REFERENCE_RADIUS_M:.0f} m; give a lunar product, such as in IAU_2015:30100"
        )
    return found


def _radius_m(crs: pyproj.CRS) -> float:
    return REFERENCE_RADIUS_M if crs.ellipsoid is None else float(crs.ellipsoid.semi_major_metre)


def _to_height(
    path: Path, dataset: Any, hole: float | None, radius_m: float
) -> tuple[float, float]:
    """Scale and offset that make stored numbers heights above the reference sphere, metres.

    Products hold heights or distances from the centre, in metres or kilometres; LOLA's hold
    (distance - offset) / scale. Heights are taken as above the sphere of the product's CRS.
    """
    unit = (dataset.units[0] or dataset.tags().get("UNITS") or "").strip().lower()
    if unit not in _UNIT_M:
        raise InputError(f"{path}: unit {unit!r}: not metres or kilometres; set it in the file")
    scale = float(dataset.scales[0]) * _UNIT_M[unit]
    offset = float(dataset.offsets[0]) * _UNIT_M[unit]
    if not (np.isfinite(scale) and np.isfinite(offset) and scale > 0.0):
        raise InputError(
            f"{path}: scale {scale}, offset {offset}: not usable; set them in the file"
        )
    values = _some_values(dataset, hole) * scale + offset
    if values.size == 0:
        raise InputError(f"{path}: band 1: nothing but nodata; give a product that holds heights")
    if not unit and values.min() > RADII_KM[0] and values.max() < RADII_KM[1]:
        scale, offset, values = 1000.0 * scale, 1000.0 * offset, 1000.0 * values
    if np.median(values) > RADIUS_FROM_M:
        offset -= REFERENCE_RADIUS_M
        values -= REFERENCE_RADIUS_M
    else:
        offset += radius_m - REFERENCE_RADIUS_M
    if values.min() < HEIGHT_LIMITS_M[0] or values.max() > HEIGHT_LIMITS_M[1]:
        raise InputError(
            f"{path}: band 1: values from {values.min():.0f} to {values.max():.0f} m are no lunar "
            "heights; set the file's scale, offset, unit and nodata"
        )
    return scale, offset


def _some_values(dataset: Any, hole: float | None) -> Float64:
    """Values from small windows spread over a raster, or from all of it where those are holes."""
    side = 64
    found = []
    for row in np.linspace(0, max(dataset.height - side, 0), 8).astype(int):
        for column in np.linspace(0, max(dataset.width - side, 0), 8).astype(int):
            window = PixelWindow(column, row, min(side, dataset.width), min(side, dataset.height))
            found.append(_valid(dataset.read(1, window=window), hole))
    values = np.concatenate(found)
    if values.size == 0:
        shape = (min(dataset.height, SAMPLE_SIDE), min(dataset.width, SAMPLE_SIDE))
        values = _valid(dataset.read(1, out_shape=shape), hole)
    return values


def _valid(values: NDArray[Any], hole: float | None) -> Float64:
    good = values[np.isfinite(values)]
    if hole is not None:
        good = good[good != np.asarray(hole).astype(good.dtype)]
    return np.asarray(good, dtype=np.float64)


class _HeightReader:
    """Reads windows of a product as heights in metres, NaN in holes."""

    def __init__(self, path: Path, scale_m: float, offset_m: float, hole: float | None) -> None:
        self._path = path
        self._scale_m = scale_m
        self._offset_m = offset_m
        self._hole = hole

    def __call__(self, first_row: int, end_row: int, first_column: int, end_column: int) -> Float32:
        window = PixelWindow(
            first_column, first_row, end_column - first_column, end_row - first_row
        )
        with open_raster(self._path) as dataset:
            try:
                values = dataset.read(1, window=window)
            except rasterio.errors.RasterioIOError as error:
                raise InputError(
                    f"{self._path}: cannot be read ({error}); fetch the product again"
                ) from error
        heights = values.astype(np.float32)
        if (self._scale_m, self._offset_m) != (1.0, 0.0):
            heights = (values * np.float64(self._scale_m) + self._offset_m).astype(np.float32)
        heights[~np.isfinite(heights)] = np.nan
        if self._hole is not None:
            heights[values == np.asarray(self._hole).astype(values.dtype)] = np.nan
        return np.asarray(heights)


def _coverage(placement: Grid | WarpedPlacement, rows: int, columns: int) -> Coverage:
    """The region a raster covers, from the ring of its outer edges."""
    if isinstance(placement, Grid) and placement.projection == "geographic":
        return Coverage(
            max(placement.bottom, -90.0),
            min(placement.top, 90.0),
            placement.left,
            min(placement.right, placement.left + 360.0),
        )
    along = np.linspace(0.0, 1.0, EDGE_POINTS)
    down, right = along * rows - 0.5, along * columns - 0.5
    row = np.concatenate(
        [np.full_like(right, -0.5), down, np.full_like(right, rows - 0.5), down[::-1]]
    )
    column = np.concatenate(
        [right, np.full_like(down, columns - 0.5), right[::-1], np.full_like(down, -0.5)]
    )
    latitude, longitude = (np.rad2deg(angle) for angle in placement.geographic(row, column))
    seen = np.isfinite(latitude) & np.isfinite(longitude)
    latitude, longitude = latitude[seen], longitude[seen]
    # Longitude means nothing at a pole itself.
    around = np.unwrap(longitude[np.abs(latitude) < 90.0 - 1e-9], period=360.0)
    if around.size == 0:
        return Coverage(-90.0, 90.0, -180.0, 180.0)
    south, north = float(latitude.min()), float(latitude.max())
    if abs(around[-1] - around[0]) > 180.0:
        # The ring winds around a pole, which is inside.
        return (
            Coverage(south, 90.0, -180.0, 180.0)
            if south + north > 0.0
            else Coverage(-90.0, north, -180.0, 180.0)
        )
    return Coverage(south, north, float(around.min()), float(around.max()))
