"""The onboard map: heights of the Moon at any point, read in windows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as PixelWindow

from trn.backend.terrain_cut import RasterPart
from trn.errors import InputError
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog
from trn.maps.grid import CRS_OF, Grid, grid_of
from trn.maps.manifest import Manifest, damage, read_manifest
from trn.maps.raster import Raster, WindowCache
from trn.maps.sampling import pixel_coordinates
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up_at, geographic_from_position

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

SPACING_TOLERANCE = 1.01
"""An overview of an odd number of pixels is a little coarser than twice the level below."""

# Only the file whose checksum holds is read: no side-car files, no large block cache beside ours.
READ_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 64,
    "GDAL_NUM_THREADS": "ALL_CPUS",
}


class MapBounds(NamedTuple):
    """A region in degrees; east is less than west where it crosses longitude 180."""

    latitude_min_deg: float
    latitude_max_deg: float
    longitude_west_deg: float
    longitude_east_deg: float


class LunarMap:
    """Terrain of a part of the Moon, from a `NAME.map` folder.

    Thread-safe. Memory is bounded whatever the size of the map: windows are read as needed, and
    the last ones are kept.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.path = folder / manifest.elevation.file
        self._levels = _levels(self.path, manifest)
        self._craters: CraterCatalog | None = None

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> LunarMap:
        """Open a map folder; verify: compare the SHA-256 of each file with map.toml.

        Raises InputError where the folder is not a map, or a file is missing, damaged or not what
        map.toml says.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        for name, expected in manifest.files.items():
            if verify:
                wrong = damage(folder, name, expected)
            else:
                wrong = None if (folder / name).is_file() else "missing"
            if wrong is not None:
                raise InputError(
                    f"{folder / name}: {wrong}; build the map again with `trn map build`"
                )
        return cls(folder, manifest)

    @property
    def name(self) -> str:
        """The map's name."""
        return self.manifest.name

    @property
    def bounds(self) -> MapBounds:
        """The region covered, degrees."""
        b = self.manifest.bounds
        return MapBounds(
            b.latitude_min_deg, b.latitude_max_deg, b.longitude_west_deg, b.longitude_east_deg
        )

    @property
    def resolution_m(self) -> float:
        """Size of the finest pixel on the ground, north to south, metres."""
        return self._levels[0][0].resolution_m

    @property
    def resolutions_m(self) -> tuple[float, ...]:
        """Sizes of a pixel of each level, finest first, metres."""
        return tuple(grid.resolution_m for grid, _ in self._levels)

    @property
    def height_range_m(self) -> tuple[float, float]:
        """Least and greatest height, metres above the reference sphere."""
        return self.manifest.elevation.height_min_m, self.manifest.elevation.height_max_m

    @property
    def height_sigma_m(self) -> float:
        """Stated error (1 sigma) of the map's heights, metres."""
        return self.manifest.elevation.height_sigma_m

    @property
    def albedo_path(self) -> Path | None:
        """The albedo raster, where the map has one."""
        return None if self.manifest.albedo is None else self.folder / self.manifest.albedo.file

    @property
    def craters_path(self) -> Path | None:
        """The crater catalogue (CSV), where the map has one."""
        return None if self.manifest.craters is None else self.folder / self.manifest.craters.file

    def craters(self) -> CraterCatalog | None:
        """The map's crater catalogue, read once; None where the map has none.

        Raises InputError where the file cannot be used.
        """
        if self._craters is None and self.craters_path is not None:
            self._craters = read_catalog(self.craters_path).catalog
        return self._craters

    @overload
    def height(self, latitude_deg: float, longitude_east_deg: float) -> float: ...
    @overload
    def height(self, latitude_deg: Any, longitude_east_deg: Any) -> Any: ...
    def height(self, latitude_deg: Any, longitude_east_deg: Any) -> Any:
        """Heights above the reference sphere, metres; NaN in holes and outside.

        Scalars give a float, arrays (broadcast together, degrees) an array of float64. Bilinear
        between the centres of the finest pixels.
        """
        heights = self._sample(0, np.deg2rad(latitude_deg), np.deg2rad(longitude_east_deg))
        return float(heights) if heights.ndim == 0 else heights.astype(np.float64)

    def height_at(self, position_m: Any) -> Float64:
        """Heights of the terrain below or above body-fixed points, shape (..., 3) to (...).

        As `height`: metres above the reference sphere, NaN in holes and outside.
        """
        latitude, longitude, _ = geographic_from_position(position_m)
        return np.asarray(self._sample(0, latitude, longitude), dtype=np.float64)

    def gradient_at(self, position_m: Any) -> Float64:
        """Slopes (d height / d east, / d north) at body-fixed points, (..., 3) to (..., 2).

        Dimensionless; central differences over one pixel of the bicubic surface, along the great
        circles to east and north; NaN next to holes and outside. At a pole, east is the direction
        of longitude 90 degrees.
        """
        position = np.asarray(position_m, dtype=np.float64)
        latitude, longitude, _ = geographic_from_position(position)
        east, north, up = east_north_up_at(latitude, longitude)
        half = 0.5 * self.resolution_m / REFERENCE_RADIUS_M
        ends = [
            math.cos(half) * up + sign * math.sin(half) * direction
            for direction in (east, north)
            for sign in (-1.0, 1.0)
        ]
        end_latitude, end_longitude, _ = geographic_from_position(np.stack(ends))
        heights = self._sample(0, end_latitude, end_longitude, cubic=True).astype(np.float64)
        arc_m = 2.0 * half * (REFERENCE_RADIUS_M + heights.mean(axis=0))
        differences = np.stack([heights[1] - heights[0], heights[3] - heights[2]], axis=-1)
        return np.asarray(differences / arc_m[..., None])

    def resample(self, latitude_rad: Any, longitude_rad: Any, spacing_m: float) -> Float32:
        """Heights at points that stand about spacing_m apart; NaN in holes and outside.

        Latitudes and longitudes in radians, any shape. Taken from the coarsest overview whose
        pixel does not exceed spacing_m (the finest pixels below that), by Catmull-Rom bicubic
        interpolation, bilinear next to holes and edges.
        """
        return self._sample(self._level_for(spacing_m), latitude_rad, longitude_rad, cubic=True)

    def part_within(
        self, latitude_rad: Float64, longitude_rad: Float64, spacing_m: float, points: int
    ) -> RasterPart | None:
        """What `resample` would take heights from at points that lie within a closed line.

        latitude_rad, longitude_rad: shape (n,), of the line. points: how many lie within. None
        where the line leaves the map, or what is within is too much for one window.
        """
        grid, raster = self._levels[self._level_for(spacing_m)]
        geometry = grid.geometry(longitude_rad)
        found = raster.window_within(
            *pixel_coordinates(grid.kind, geometry, latitude_rad, longitude_rad), points
        )
        return None if found is None else RasterPart(grid.kind, geometry, *found)

    def _level_for(self, spacing_m: float) -> int:
        fits = [
            index
            for index, (grid, _) in enumerate(self._levels)
            if grid.resolution_m <= spacing_m * SPACING_TOLERANCE
        ]
        return fits[-1] if fits else 0

    def _sample(
        self, level: int, latitude_rad: Any, longitude_rad: Any, *, cubic: bool = False
    ) -> Float32:
        latitude, longitude = np.broadcast_arrays(
            np.asarray(latitude_rad, dtype=np.float64), np.asarray(longitude_rad, dtype=np.float64)
        )
        grid, raster = self._levels[level]
        row, column = grid.pixel_coordinates(latitude.ravel(), longitude.ravel())
        return raster.sample(row, column, cubic=cubic).reshape(latitude.shape)


def _levels(path: Path, manifest: Manifest) -> list[tuple[Grid, Raster]]:
    """Grid and raster of the finest pixels and of each overview."""
    cache = WindowCache()
    levels: list[tuple[Grid, Raster]] = []
    try:
        with rasterio.Env(**READ_OPTIONS), rasterio.open(path, driver="GTiff") as dataset:
            grid = _grid(dataset, manifest)
            shapes = [dataset.shape]
            for index in range(len(dataset.overviews(1))):
                with rasterio.open(path, driver="GTiff", overview_level=index) as overview:
                    shapes.append(overview.shape)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"{path}: not a GeoTIFF ({error}); build the map again") from error
    for index, (rows, columns) in enumerate(shapes):
        level = grid.overview(rows, columns)
        read = _Reader(path, None if index == 0 else index - 1)
        levels.append((level, Raster(rows, columns, level.periodic, read, cache, index)))
    return levels


def _grid(dataset: rasterio.DatasetReader, manifest: Manifest) -> Grid:
    """The grid of a map's GeoTIFF, checked against map.toml."""
    projection = manifest.elevation.projection
    grid = grid_of(dataset)
    if grid is None or grid.projection != projection:
        raise InputError(
            f"{dataset.name}: CRS: not {CRS_OF[projection]} as map.toml says; build the map again"
        )
    return grid


class _Reader:
    """Reads windows of one level of a GeoTIFF; no file stays open in between."""

    def __init__(self, path: Path, overview: int | None) -> None:
        self._path = path
        self._options = {} if overview is None else {"overview_level": overview}

    def __call__(self, first_row: int, end_row: int, first_column: int, end_column: int) -> Float32:
        window = PixelWindow(
            first_column, first_row, end_column - first_column, end_row - first_row
        )
        try:
            with (
                rasterio.Env(**READ_OPTIONS),
                rasterio.open(self._path, driver="GTiff", **self._options) as dataset,
            ):
                values = dataset.read(1, window=window, out_dtype=np.float32)
                if dataset.nodata is not None:
                    values[values == np.float32(dataset.nodata)] = np.nan
        except rasterio.errors.RasterioIOError as error:
            raise InputError(
                f"{self._path}: cannot be read ({error}); build the map again"
            ) from error
        return np.asarray(values)
