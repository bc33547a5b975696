"""Grids of heights: what a file or a map says, its holes filled but not forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from tests.simulated import small_map
from trn.errors import InputError
from trn.maps.lunar_map import LunarMap
from trn.simulate import height_grid
from trn.simulate.height_grid import HeightGrid
from trn.simulate.site import MOON_GEOGRAPHIC_WKT

SIDE = 60


def write(path: Path, heights: np.ndarray, **changes: object) -> Path:
    """Heights at 30 pixels a degree from 48 N, 44 E."""
    options = {
        "driver": "GTiff", "width": heights.shape[1], "height": heights.shape[0], "count": 1,
        "dtype": heights.dtype, "crs": MOON_GEOGRAPHIC_WKT, "nodata": -32768,
        "transform": Affine(1 / 30, 0.0, 44.0, 0.0, -1 / 30, 48.0), **changes,
    }  # fmt: skip
    with rasterio.open(path, "w", **options) as target:
        target.write(heights, 1)
    return path


def plane() -> np.ndarray:
    """A slope of a tenth of a metre a pixel."""
    return np.tile(0.1 * np.arange(SIDE), (SIDE, 1))


def test_pixels_stand_at_their_centres(tmp_path: Path) -> None:
    grid = HeightGrid.from_geotiff(write(tmp_path / "plane.tif", plane().astype(np.float32)))
    assert grid.latitude_deg == pytest.approx(48.0 - 0.5 / 30)
    assert grid.longitude_deg == pytest.approx(44.0 + 0.5 / 30)
    row, column = grid.indices(np.array(48.0 - 2.5 / 30), np.array(44.0 + 7.5 / 30))
    assert (row, column) == (pytest.approx(2.0), pytest.approx(7.0))
    assert not grid.periodic


def test_longitudes_may_be_counted_from_either_side(tmp_path: Path) -> None:
    grid = HeightGrid.from_geotiff(write(tmp_path / "plane.tif", plane().astype(np.float32)))
    inside = grid.covers(np.full(3, 47.0), np.array([45.0, 45.0 - 360.0, 45.0 + 360.0]))
    assert inside.tolist() == [True, True, True]
    assert not grid.covers(np.array(47.0), np.array(43.9))


def test_whole_metres_lose_their_terraces_but_stay_within_the_rounding(tmp_path: Path) -> None:
    rounded = np.round(plane()).astype(np.int16)
    grid = HeightGrid.from_geotiff(write(tmp_path / "steps.tif", rounded))
    assert np.abs(grid.height_m - rounded).max() <= 0.5
    middle = (slice(10, -10), slice(10, -10))
    assert np.abs(grid.height_m - plane())[middle].max() < np.abs(rounded - plane())[middle].max()
    rough = np.random.default_rng(0).integers(-500, 500, (SIDE, SIDE)).astype(np.int16)
    kept = HeightGrid.from_geotiff(write(tmp_path / "rough.tif", rough)).height_m
    assert np.abs(kept - rough).max() < 0.01


def test_holes_are_filled_and_known(tmp_path: Path) -> None:
    heights = np.full((SIDE, SIDE), 300.0, np.float32)
    heights[20:40, 20:40] = -32768
    grid = HeightGrid.from_geotiff(write(tmp_path / "hole.tif", heights))
    assert grid.height_m == pytest.approx(300.0)
    assert not grid.covers(np.array(48.0 - 30.5 / 30), np.array(44.0 + 30.5 / 30))
    assert grid.covers(np.array(48.0 - 10.5 / 30), np.array(44.0 + 10.5 / 30))


@pytest.mark.parametrize(
    ("heights", "changes", "words"),
    [
        (np.full((9, 9), -32768.0), {}, "nodata"),
        (np.full((9, 9), np.inf), {}, "not finite"),
        (np.zeros((9, 9)), {"crs": None}, "geographic"),
        (np.zeros((9, 9)), {"transform": Affine(-0.1, 0, 44, 0, -0.1, 48)}, "eastwards"),
        (np.zeros((9, 9)), {"transform": Affine(0.1, 0.01, 44, 0.01, -0.1, 48)}, "unrotated"),
    ],
)
def test_what_is_no_grid_of_heights_is_named(
    tmp_path: Path, heights: np.ndarray, changes: dict[str, object], words: str
) -> None:
    path = write(tmp_path / "bad.tif", heights.astype(np.float32), **changes)
    with pytest.raises(InputError, match=words):
        HeightGrid.from_geotiff(path)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("heights")
    with pytest.raises(InputError, match=r"text\.tif"):
        HeightGrid.from_geotiff(tmp_path / "text.tif")


def test_a_map_is_cut_to_what_memory_holds(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    moon_map = LunarMap.open(small_map(tmp_path_factory.mktemp("grid")))
    whole = HeightGrid.from_map(moon_map, 46.5, 44.5)
    monkeypatch.setattr(height_grid, "MOST_PIXELS", 2500)
    part = HeightGrid.from_map(moon_map, 46.5, 44.5)
    assert part.height_m.size < 4000 < whole.height_m.size
    assert part.covers(np.array(46.5), np.array(44.5))
    expected = moon_map.height(part.latitude_deg, part.longitude_deg)
    assert part.height_m[0, 0] == pytest.approx(expected, abs=0.01)
    with pytest.raises(InputError, match="pole"):
        HeightGrid.from_map(moon_map, 88.0, 44.5)
    with pytest.raises(InputError, match="no height at the site"):
        HeightGrid.from_map(moon_map, 0.0, 44.5)
