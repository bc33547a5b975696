"""The truth terrain stands where the map says, and its added relief belongs to the place."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.site import MOON_GEOGRAPHIC_WKT
from trn.simulate.terrain import HeightGrid, Patch, ReliefSettings, TruthTerrain

BARE = ReliefSettings(fractal=0.0, craters=0.0)
PIXELS_PER_DEGREE = 128


def rough_heights(rows: int, columns: int) -> np.ndarray:
    """Self-similar heights (Hurst exponent near 0.9) on a grid, 200 m rms, by their spectrum."""
    rng = np.random.default_rng(5)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    frequency[0, 0] = np.inf
    shape = (rows, columns // 2 + 1)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * frequency**-1.9
    height = np.fft.irfft2(spectrum, s=(rows, columns))
    return (height * 200.0 / height.std()).astype(np.float32)


def write_tif(path: Path, height: np.ndarray, left: float, top: float, **changes: object) -> Path:
    profile = {
        "driver": "GTiff",
        "dtype": height.dtype.name,
        "count": 1,
        "width": height.shape[1],
        "height": height.shape[0],
        "crs": CRS.from_wkt(MOON_GEOGRAPHIC_WKT),
        "transform": Affine(1 / PIXELS_PER_DEGREE, 0, left, 0, -1 / PIXELS_PER_DEGREE, top),
        "nodata": -32768,
    } | changes
    with rasterio.open(path, "w", **profile) as out:
        out.write(height, 1)
    return path


def patch_around(
    terrain: TruthTerrain, position_m: np.ndarray, half_m: float, step_m: float
) -> Patch:
    half = half_m / REFERENCE_RADIUS_M
    return terrain.patch(
        east_north_up(position_m), (-half, half, -half, half), step_m / REFERENCE_RADIUS_M
    )


def pixel_centres(path: Path, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Points on the reference sphere under the centres of pixels, and the pixels' values."""
    with rasterio.open(path) as source:
        height = source.read(1)
        row, column = np.mgrid[rows, columns]
        longitude, latitude = source.xy(row.ravel(), column.ravel())
    points = position_from_geographic(np.radians(latitude), np.radians(longitude), 0.0)
    return points.reshape(*row.shape, 3), height[rows, columns]


@pytest.mark.parametrize(
    ("left", "top"), [(37.0, 52.0), (178.5, 1.0), (10.0, 75.0), (-60.0, -70.0)]
)
def test_bare_terrain_equals_the_map_at_its_pixel_centres(
    tmp_path: Path, left: float, top: float
) -> None:
    path = write_tif(tmp_path / "map.tif", rough_heights(256, 384), left, top)
    points, height = pixel_centres(path, slice(100, 160), slice(150, 210))
    terrain = TruthTerrain.from_geotiff(path, relief=BARE)
    patch = patch_around(terrain, points[30, 30], 8e3, 8.0)
    difference = patch.height_at(points) - height
    assert np.nanmax(np.abs(difference)) < 1.0
    assert np.isfinite(difference).mean() > 0.8
    # No shift: the difference has no share of the map's gradient.
    along_row, along_column = np.gradient(height.astype(np.float64))
    good = np.isfinite(difference)
    slopes = np.stack([along_row[good], along_column[good]], axis=1)
    shift_px = np.linalg.lstsq(slopes, difference[good], rcond=None)[0]
    assert np.abs(shift_px).max() < 0.005


def test_whole_metre_heights_move_by_no_more_than_their_rounding(tmp_path: Path) -> None:
    row, column = np.mgrid[:128, :128]
    smooth = 6.0 * np.sin(row / 17.0) + 0.03 * column + 0.1
    path = write_tif(tmp_path / "map.tif", np.rint(smooth).astype(np.int16), 0.0, 20.0)
    grid = HeightGrid.from_geotiff(path)
    assert np.abs(grid.height_m - np.rint(smooth)).max() <= 0.5001
    assert np.std(grid.height_m - smooth) < 0.6 * np.std(np.rint(smooth) - smooth)


def test_relief_belongs_to_the_place_and_seed(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "map.tif", rough_heights(256, 256), 37.0, 52.0)
    points, _ = pixel_centres(path, slice(120, 136), slice(120, 136))
    terrain = TruthTerrain.from_geotiff(path, seed=3)
    here = patch_around(terrain, points[0, 0], 5e3, 15.0)
    there = patch_around(terrain, points[15, 15], 6e3, 15.0)
    other = patch_around(TruthTerrain.from_geotiff(path, seed=4), points[0, 0], 5e3, 15.0)
    bare = patch_around(TruthTerrain.from_geotiff(path, relief=BARE), points[0, 0], 5e3, 15.0)
    inside = points[:10, :10]
    relief = here.height_at(inside) - bare.height_at(inside)
    assert relief.std() > 1.0
    # Two grids that overlap differ by the interpolation between their samples alone.
    assert np.std(here.height_at(inside) - there.height_at(inside)) < 0.1 * relief.std()
    assert np.std(here.height_at(inside) - other.height_at(inside)) > relief.std()
    again = patch_around(TruthTerrain.from_geotiff(path, seed=3), points[0, 0], 5e3, 15.0)
    assert np.array_equal(again.height_m, here.height_m)


def test_relief_carries_the_maps_slopes_on_to_smaller_scales(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "map.tif", rough_heights(512, 512), 0.0, 2.0)
    points, _ = pixel_centres(path, slice(240, 272), slice(240, 272))
    terrain = TruthTerrain.from_geotiff(path, relief=ReliefSettings(craters=0.0))
    patch = patch_around(terrain, points[16, 16], 25e3, 15.0)

    def differential_slope_deg(lag_m: float) -> float:
        lag, h = round(lag_m / 15.0), patch.height_m
        bend = h[:, lag:-lag] - 0.5 * (h[:, 2 * lag :] + h[:, : -2 * lag])
        return math.degrees(math.atan(float(np.sqrt(np.mean(bend**2))) / lag_m))

    spacing = terrain.grid.spacing_m
    at_map = differential_slope_deg(8 * spacing)
    assert at_map < 0.7
    # On ground this smooth slopes grow towards small scales as lag^(H - 1) with H = 0.75.
    for lag_m in (0.5 * spacing, 0.25 * spacing):
        growth = (8 * spacing / lag_m) ** 0.25
        assert differential_slope_deg(lag_m) == pytest.approx(at_map * growth, rel=0.35)


def test_holes_are_filled_and_marked(tmp_path: Path) -> None:
    height = rough_heights(64, 64)
    height[20:30, 20:40] = -32768
    grid = HeightGrid.from_geotiff(write_tif(tmp_path / "map.tif", height, 0.0, 10.0))
    assert not grid.valid[25, 30] and grid.valid[0, 0]
    assert np.isfinite(grid.height_m).all() and grid.height_m.min() > -5000


def test_what_is_no_geographic_grid_is_refused(tmp_path: Path) -> None:
    height = rough_heights(32, 32)
    with pytest.raises(InputError, match="crs"):
        HeightGrid.from_geotiff(write_tif(tmp_path / "bare.tif", height, 0.0, 10.0, crs=None))
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.tif"):
        HeightGrid.from_geotiff(tmp_path / "text.tif")
    with pytest.raises(InputError, match="nodata"):
        HeightGrid.from_geotiff(write_tif(tmp_path / "void.tif", height * 0 - 32768, 0.0, 10.0))
