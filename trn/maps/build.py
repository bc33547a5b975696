"""Maps from LRO products: mosaic, Cloud-Optimised GeoTIFF, checksums."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as PixelWindow

from trn.errors import InputError, WorkError
from trn.maps.catalog_file import read_catalog
from trn.maps.grid import CRS_OF, Grid
from trn.maps.layout import map_grid, map_projection, map_region, same_pixels
from trn.maps.lunar_map import LunarMap
from trn.maps.manifest import (
    MANIFEST_NAME,
    Bounds,
    Checksum,
    Datum,
    Elevation,
    Layer,
    Manifest,
    Source,
    damage,
    read_manifest,
    sha256_of,
    write_manifest,
)
from trn.maps.map_catalog import craters_within, write_map_craters
from trn.maps.map_craters import find_map_craters
from trn.maps.raster import WindowCache
from trn.maps.source import HEIGHT_LIMITS_M, ElevationSource, lunar_crs, open_raster
from trn.moon.frames import wrap_longitude_deg

logger = logging.getLogger(__name__)

ELEVATION_NAME = "elevation.tif"
ALBEDO_NAME = "albedo.tif"
CRATERS_NAME = "craters.csv"

DEFAULT_HEIGHT_SIGMA_M = 15.0
BLOCK_PX = 1024
HOLE_INT16 = -32768

DEM_SHARE = 0.6
"""Share of the work that finding craters in the elevation is, where that is asked for."""

COG_OPTIONS = {
    "driver": "COG",
    "compress": "DEFLATE",
    "predictor": "YES",
    "blocksize": 256,
    "overview_resampling": "AVERAGE",
    "overviews": "IGNORE_EXISTING",
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",
}


def build_map(
    dem: Sequence[str | Path],
    out: str | Path,
    albedo: str | Path | None = None,
    craters: str | Path | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    height_sigma_m: float = DEFAULT_HEIGHT_SIGMA_M,
    progress: Callable[[float], None] | None = None,
    craters_from_dem: bool = False,
) -> LunarMap:
    """Make a map folder from elevation products.

    dem: products in any lunar projection; where they overlap the first one that has a height
        counts. Grids that agree are copied number for number; others are resampled (bicubic) onto
        the finest. Holes stay holes.
    out: the folder, usually NAME.map; an older map there is replaced once the new one is complete.
    albedo: a raster to carry along.
    craters: a catalogue (see `read_catalog`), of which the craters on the map are carried along;
        rows that cannot be used are skipped, and told in the log.
    craters_from_dem: find those that the catalogue lacks in the elevation (`find_map_craters`).
    bounds: (latitude, latitude, west, east) in degrees to keep; west > east crosses longitude 180.
    height_sigma_m: error (1 sigma) of the heights, as the map shall state it.
    progress: called with the share done, 0 to 1.

    Raises InputError for products, bounds or a catalogue that cannot be used, or where out is a
    folder but no map; WorkError where writing fails.
    """
    report = progress or (lambda share: None)
    target = Path(out)
    if not dem:
        raise InputError("dem: no elevation product given; name at least one file")
    if not (np.isfinite(height_sigma_m) and height_sigma_m > 0.0):
        raise InputError(f"height_sigma_m: {height_sigma_m} is not a positive number of metres")
    _refuse_other_folder(target)
    listed = None if craters is None else read_catalog(craters)
    if listed is not None and listed.skipped_count:
        logger.warning("%s: %s", craters, listed.summary())
    cache = WindowCache()
    sources = [ElevationSource.open(path, cache, key) for key, path in enumerate(dem)]
    region = map_region([source.coverage for source in sources], bounds)
    grid = map_grid(sources, region, map_projection(region), cut=bounds is not None)
    report(0.0)
    share = 1.0 - DEM_SHARE if craters_from_dem else 1.0
    with _replacing(target) as folder:
        low, high = _write_elevation(folder, sources, grid, lambda done: report(share * done))
        if albedo is not None:
            _copy_albedo(Path(albedo), folder / ALBEDO_NAME)
        whole_turn = region.east - region.west >= 360.0 - 1e-9
        used = [file for source in sources for file in source.files]
        used += [Path(extra) for extra in (albedo, craters) if extra is not None]
        manifest = Manifest(
            name=target.name.removesuffix(".map") or target.name,
            datum=Datum(),
            bounds=Bounds(
                latitude_min_deg=region.south,
                latitude_max_deg=region.north,
                longitude_west_deg=-180.0 if whole_turn else _west(region.west),
                longitude_east_deg=180.0 if whole_turn else _east(region.east),
            ),
            elevation=Elevation(
                file=ELEVATION_NAME,
                projection=grid.projection,
                resolutions_m=_resolutions_m(folder / ELEVATION_NAME, grid),
                height_min_m=low,
                height_max_m=high,
                height_sigma_m=height_sigma_m,
            ),
            albedo=None if albedo is None else Layer(file=ALBEDO_NAME),
            files={},
            sources=[Source(name=p.name, sha256=sha256_of(p)) for p in used],
        )
        new_map = LunarMap(folder, manifest)
        known = None if listed is None else craters_within(listed.catalog, new_map.bounds)
        found = None
        if craters_from_dem:
            found = find_map_craters(
                new_map,
                None if listed is None else listed.catalog,
                progress=lambda done: report(share + DEM_SHARE * 0.99 * done),
            )
        if write_map_craters(
            folder / CRATERS_NAME, known, "" if craters is None else Path(craters).name, found
        ):
            manifest = manifest.model_copy(update={"craters": Layer(file=CRATERS_NAME)})
        elif listed is not None or craters_from_dem:
            logger.warning("%s: no crater is listed or found on it; it has no catalogue", target)
        files = {
            file.name: Checksum(bytes=file.stat().st_size, sha256=sha256_of(file))
            for file in sorted(folder.iterdir())
        }
        write_manifest(folder, manifest.model_copy(update={"files": files}))
    report(1.0)
    return LunarMap.open(target, verify=False)


def map_info(path: str | Path) -> dict[str, object]:
    """What a map holds and whether each checksum does; damage is told, not raised.

    Raises InputError where there is no readable map.toml.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    files: dict[str, object] = {}
    intact = True
    for name, expected in manifest.files.items():
        problem = damage(folder, name, expected)
        intact = intact and problem is None
        files[name] = {**expected.model_dump(), "intact": problem is None, "problem": problem}
    content = manifest.model_dump(exclude={"files"})
    return {"path": str(folder), **content, "files": files, "intact": intact}


def _write_elevation(
    folder: Path,
    sources: Sequence[ElevationSource],
    grid: Grid,
    report: Callable[[float], None],
) -> tuple[float, float]:
    """Write the mosaic as a Cloud-Optimised GeoTIFF; its least and greatest height, metres."""
    whole = all(source.exact and same_pixels(source.placement, grid) for source in sources)
    profile = {
        "driver": "GTiff",
        "width": grid.columns,
        "height": grid.rows,
        "count": 1,
        "dtype": "int16" if whole else "float32",
        "nodata": HOLE_INT16 if whole else np.nan,
        "crs": CRS_OF[grid.projection],
        "transform": rasterio.Affine(grid.pixel_x, 0, grid.left, 0, -grid.pixel_y, grid.top),
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "bigtiff": "IF_SAFER",
        "compress": "DEFLATE",
        "zlevel": 1,
    }
    raw = folder / "mosaic.tif"
    low, high = np.inf, -np.inf
    blocks = _blocks(grid)
    with rasterio.open(raw, "w", **profile) as dataset:
        dataset.update_tags(UNITS="m", VERTICAL_DATUM="sphere R=1737400 m")
        dataset.units = ("metre",)
        for done, (row, column, rows, columns) in enumerate(blocks):
            heights = _mosaic(sources, grid, row, column, rows, columns)
            good = heights[np.isfinite(heights)]
            if good.size:
                low, high = min(low, float(good.min())), max(high, float(good.max()))
            if whole:
                heights = np.where(np.isfinite(heights), heights, HOLE_INT16).astype(np.int16)
            dataset.write(heights, 1, window=PixelWindow(column, row, columns, rows))
            report(0.8 * (done + 1) / len(blocks))
    if not low <= high:
        raise InputError(
            f"{sources[0].path}: no height inside the bounds, only nodata; choose other bounds"
        )
    if low < HEIGHT_LIMITS_M[0] or high > HEIGHT_LIMITS_M[1]:
        raise InputError(
            f"{sources[0].path}: band 1: heights from {low:.0f} to {high:.0f} m are not the "
            "Moon's; set the file's nodata value"
        )
    rasterio.shutil.copy(raw, folder / ELEVATION_NAME, **COG_OPTIONS)
    raw.unlink()
    return low, high


def _blocks(grid: Grid) -> list[tuple[int, int, int, int]]:
    """First row, first column, rows and columns of the squares a grid is worked on in."""
    return [
        (row, column, min(BLOCK_PX, grid.rows - row), min(BLOCK_PX, grid.columns - column))
        for row in range(0, grid.rows, BLOCK_PX)
        for column in range(0, grid.columns, BLOCK_PX)
    ]


def _mosaic(
    sources: Sequence[ElevationSource], grid: Grid, row: int, column: int, rows: int, columns: int
) -> NDArray[np.float32]:
    """Heights of a block of the map from the first source that has each."""
    latitude, longitude = grid.geographic(
        row + np.arange(rows)[:, None], column + np.arange(columns)[None, :]
    )
    latitude, longitude = np.ascontiguousarray(latitude), np.ascontiguousarray(longitude)
    heights = np.full(rows * columns, np.nan, dtype=np.float32)
    for source in sources:
        missing = np.isnan(heights)
        if not missing.any():
            break
        found = source.sample(latitude.ravel(), longitude.ravel())
        heights = np.where(missing, found, heights)
    return heights.reshape(rows, columns)


def _resolutions_m(path: Path, grid: Grid) -> list[float]:
    """Pixel sizes of a map's levels on the ground, finest first."""
    with rasterio.open(path, driver="GTiff") as dataset:
        factors = dataset.overviews(1)
    return [grid.resolution_m * factor for factor in (1, *factors)]


def _copy_albedo(path: Path, target: Path) -> None:
    with open_raster(path) as dataset:
        lunar_crs(path, dataset.crs)
        rasterio.shutil.copy(dataset, target, **COG_OPTIONS)


def _west(longitude_deg: float) -> float:
    wrapped = float(wrap_longitude_deg(longitude_deg))
    return -180.0 if wrapped == 180.0 else wrapped


def _east(longitude_deg: float) -> float:
    return float(wrap_longitude_deg(longitude_deg))


def _refuse_other_folder(target: Path) -> None:
    if target.exists() and not (target / MANIFEST_NAME).is_file():
        raise InputError(f"{target}: exists and is no map; choose another name for the map")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target.absolute().parent}: no such folder; make it first")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A new folder beside the target that takes its place once the block ends well."""
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise WorkError(f"{target}: cannot write beside it ({error.strerror})") from error
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        try:
            yield new
        except (OSError, rasterio.errors.RasterioError) as error:
            raise WorkError(f"{target}: writing the map failed ({error})") from error
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
