"""LunarMap gives the heights of its file, wherever asked, in little memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from maps_products import NORTH_POLAR, terrain, write_raster, write_terrain

from trn.errors import InputError
from trn.maps import LunarMap, build_map, map_info
from trn.maps import raster as raster_module
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic


@pytest.fixture(scope="module")
def smooth_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    """An odd number of pixels of smooth terrain across longitude 180, four overviews deep."""
    folder = tmp_path_factory.mktemp("smooth")
    product = write_terrain(folder / "s.tif", (1501, 1803), (172.0, 10.0), 0.01)
    return build_map([product], folder / "smooth.map")


@pytest.fixture(scope="module")
def polar_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    folder = tmp_path_factory.mktemp("polar")
    product = write_terrain(folder / "p.tif", (1001, 1201), (-600e3, 500e3), 1000.0, NORTH_POLAR)
    return build_map([product], folder / "polar.map")


def test_height_is_the_pixel_at_its_centre_on_real_data(data_dir: Path, tmp_path: Path) -> None:
    product = data_dir / "maps" / "tycho_256ppd.tif"
    moon_map = build_map([product], tmp_path / "tycho.map", bounds=(-44.0, -42.0, -13.0, -9.0))
    with rasterio.open(product) as dataset:
        rows, columns = np.meshgrid(np.arange(1100, 1500, 7), np.arange(1600, 2500, 11))
        longitude, latitude = -19.0 + (columns + 0.5) / 256.0, -38.0 - (rows + 0.5) / 256.0
        assert np.array_equal(moon_map.height(latitude, longitude), dataset.read(1)[rows, columns])
        row, column = dataset.index(-11.2, -43.3)
        longitude, latitude = dataset.xy(row, column)
        height = moon_map.height(latitude, longitude)
        assert isinstance(height, float) and height == dataset.read(1)[row, column]


def test_a_bicubic_sample_is_right_at_every_level(
    smooth_map: LunarMap, polar_map: LunarMap
) -> None:
    # A shift of 0.01 pixel anywhere would show: the slope reaches metres a pixel at each level.
    cases = [
        (smooth_map, np.linspace(-4.5, 9.5, 301), np.linspace(172.6, 189.4, 311)),
        (polar_map, np.linspace(76.0, 86.0, 301), np.linspace(-180.0, 180.0, 311)),
    ]
    for moon_map, latitudes, longitudes in cases:
        latitude, longitude = np.meshgrid(latitudes, longitudes, indexing="ij")
        truth = terrain(latitude, longitude)
        assert len(moon_map.resolutions_m) >= 3
        for resolution_m in moon_map.resolutions_m:
            step_deg = np.rad2deg(resolution_m / REFERENCE_RADIUS_M)
            per_pixel = terrain(latitude + step_deg, longitude) - truth
            # An averaged pixel holds the mean of its area: pixel^2 / 24 of the curvature more.
            averaged = (
                terrain(latitude + step_deg, longitude)
                + terrain(latitude - step_deg, longitude)
                + terrain(latitude, longitude + step_deg / np.cos(np.deg2rad(latitude)))
                + terrain(latitude, longitude - step_deg / np.cos(np.deg2rad(latitude)))
                - 4.0 * truth
            ) / 24.0
            heights = moon_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), resolution_m)
            if resolution_m > moon_map.resolution_m:
                away = heights - truth - averaged
            else:
                away = heights - truth
            shift_px = (away * per_pixel).mean() / (per_pixel**2).mean()
            assert abs(shift_px) < 0.01
            assert np.abs(away).max() < 0.02 * np.abs(per_pixel).max() + 0.01


def test_resample_takes_the_coarsest_level_that_is_fine_enough(smooth_map: LunarMap) -> None:
    finest = smooth_map.resolution_m
    assert finest == pytest.approx(np.deg2rad(0.01) * REFERENCE_RADIUS_M)
    assert smooth_map.resolutions_m[1] == pytest.approx(2.0 * finest, rel=2e-3)
    for spacing_m, level in ((1.0, 0), (1.9 * finest, 0), (2.0 * finest, 1), (7.9 * finest, 2)):
        assert smooth_map._level_for(spacing_m) == level


@given(
    row=st.floats(0.0, 199.0),
    column=st.floats(0.0, 299.0),
    turn=st.sampled_from([-360.0, 0.0, 360.0]),
)
@settings(max_examples=60, deadline=None)
def test_heights_on_a_plane_lie_on_the_plane(
    plane_map: LunarMap, row: float, column: float, turn: float
) -> None:
    latitude, longitude = 40.0 - (row + 0.5) * 0.01, -1.0 + (column + 0.5) * 0.01 + turn
    truth = 3.0 * row - 2.0 * column
    assert plane_map.height(latitude, longitude) == pytest.approx(truth, abs=2e-3)
    heights = plane_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0)
    assert heights == pytest.approx(truth, abs=2e-3)


@pytest.fixture(scope="module")
def plane_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    folder = tmp_path_factory.mktemp("plane")
    row, column = np.mgrid[:200, :300]
    heights = (3.0 * row - 2.0 * column).astype(np.float32)
    product = write_raster(folder / "p.tif", heights, (-1.0, 40.0), (0.01, 0.01))
    return build_map([product], folder / "plane.map")


def test_outside_is_nan_and_the_edge_is_inside(plane_map: LunarMap) -> None:
    outside = plane_map.height([40.001, 37.999, 39.0, 39.0, -39.0], [0.0, 0.0, -1.001, 2.001, 0.0])
    assert np.isnan(outside).all()
    edge = plane_map.height([40.0, 38.0, 39.0, 39.0], [0.0, 0.0, -1.0, 2.0])
    assert np.isfinite(edge).all()
    assert math.isnan(plane_map.height(math.nan, 0.0))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (2, 3, 4), (0,)])
def test_shapes_are_kept(plane_map: LunarMap, shape: tuple[int, ...]) -> None:
    latitude, longitude = np.full(shape, 39.0), np.full(shape, 0.5)
    assert np.shape(plane_map.height(latitude, longitude)) == shape
    assert plane_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0).shape == shape
    position = position_from_geographic(np.deg2rad(latitude), np.deg2rad(longitude), 100.0)
    assert plane_map.height_at(position).shape == shape
    assert plane_map.gradient_at(position).shape == (*shape, 2)


def test_height_at_a_point_is_the_height_below_it(smooth_map: LunarMap) -> None:
    for height_m in (-5000.0, 0.0, 100_000.0):
        position = position_from_geographic(np.deg2rad(3.21), np.deg2rad(-179.37), height_m)
        assert smooth_map.height_at(position) == pytest.approx(smooth_map.height(3.21, -179.37))


@pytest.mark.parametrize("latitude_deg", [80.0, 89.999, 90.0])
def test_gradients_are_those_of_the_surface_up_to_the_pole(
    polar_map: LunarMap, latitude_deg: float
) -> None:
    for longitude_deg in (-170.0, -30.0, 60.0, 135.0):
        position = position_from_geographic(np.deg2rad(latitude_deg), np.deg2rad(longitude_deg), 0)
        axes = east_north_up(position)
        step_m = 10.0
        slopes = []
        for axis in axes[:2]:
            ends = [position + sign * step_m * axis for sign in (-1.0, 1.0)]
            low, high = (
                terrain(
                    np.rad2deg(np.arctan2(p[2], np.hypot(p[0], p[1]))),
                    np.rad2deg(np.arctan2(p[1], p[0])),
                )
                for p in ends
            )
            slopes.append((high - low) / (2.0 * step_m))
        # The surface stands `height` above the sphere that the steps were taken on.
        grown = 1.0 + terrain(latitude_deg, longitude_deg) / REFERENCE_RADIUS_M
        expected = np.array(slopes) / grown
        assert polar_map.gradient_at(position) == pytest.approx(expected, abs=2e-5)


def test_gradient_next_to_nothing_is_nan(plane_map: LunarMap) -> None:
    outside = position_from_geographic(np.deg2rad(-20.0), 0.0, 0.0)
    assert np.isnan(plane_map.gradient_at(outside)).all()


def count_pixels_read(moon_map: LunarMap, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the pixels of each read of the map's file."""
    reads: list[int] = []
    original = rasterio.io.DatasetReader.read

    def counting(self: Any, *arguments: Any, **options: Any) -> Any:
        values = original(self, *arguments, **options)
        reads.append(values.size)
        return values

    monkeypatch.setattr(rasterio.io.DatasetReader, "read", counting)
    return reads


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 Mpx, to be read through a much smaller window."""
    folder = tmp_path_factory.mktemp("wide")
    product = write_terrain(folder / "w.tif", (1000, 8000), (-40.0, 5.0), 0.01, dtype="int16")
    return build_map([product], folder / "w.map").folder


@pytest.fixture
def wide_map(wide_folder: Path) -> LunarMap:
    """The wide map with nothing read yet."""
    return LunarMap.open(wide_folder)


def test_a_small_place_is_read_in_a_small_window_and_once(
    wide_map: LunarMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_pixels_read(wide_map, monkeypatch)
    latitude = np.deg2rad(np.linspace(0.0, 1.0, 100))[:, None]
    longitude = np.deg2rad(np.linspace(3.0, 4.0, 100))[None]
    first = wide_map.resample(latitude, longitude, 100.0)
    assert sum(reads) <= 768 * 768
    seen = len(reads)
    assert np.array_equal(wide_map.resample(latitude, longitude, 100.0), first)
    wide_map.resample(latitude + 1e-4, longitude - 1e-4, 100.0)
    assert len(reads) == seen


def test_a_map_larger_than_memory_is_sampled_piece_by_piece(
    wide_map: LunarMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    latitude, longitude = np.meshgrid(
        np.linspace(-4.9, 4.9, 400), np.linspace(-39.9, 39.9, 1200), indexing="ij"
    )
    at_once = wide_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0)
    again = LunarMap.open(wide_map.folder)
    monkeypatch.setattr(raster_module, "MAX_WINDOW_PIXELS", 1 << 20)
    monkeypatch.setattr(raster_module, "CACHE_PIXELS", 1 << 20)
    monkeypatch.setattr(raster_module, "BIN_PX", 512)
    reads = count_pixels_read(again, monkeypatch)
    in_pieces = again.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0)
    assert np.array_equal(in_pieces, at_once)
    assert max(reads) <= 1 << 20
    assert np.abs(in_pieces - terrain(latitude, longitude)).max() < 1.0


def test_a_whole_moon_in_pieces_closes_over_the_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = write_terrain(tmp_path / "all.tif", (720, 1440), (-180.0, 90.0), 0.25)
    moon_map = build_map([product], tmp_path / "all.map")
    latitude, longitude = np.meshgrid(
        np.linspace(-60.0, 60.0, 100), np.linspace(100.0, 300.0, 200), indexing="ij"
    )
    at_once = moon_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0)
    monkeypatch.setattr(raster_module, "MAX_WINDOW_PIXELS", 1 << 16)
    monkeypatch.setattr(raster_module, "BIN_PX", 100)
    in_pieces = LunarMap.open(moon_map.folder).resample(
        np.deg2rad(latitude), np.deg2rad(longitude), 1.0
    )
    assert np.array_equal(in_pieces, at_once)
    assert np.abs(at_once - terrain(latitude, longitude)).max() < 1.0


def test_few_points_far_apart_read_little(
    wide_map: LunarMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_pixels_read(wide_map, monkeypatch)
    heights = wide_map.height([-4.0, 4.0], [-39.0, 39.0])
    assert heights == pytest.approx(terrain([-4.0, 4.0], [-39.0, 39.0]), abs=1.0)
    assert sum(reads) <= 2 * 512 * 512


def test_damage_is_found_on_open_and_told_by_info(plane_map: LunarMap, tmp_path: Path) -> None:
    good = plane_map.path.read_bytes()
    flipped = good[:-5] + bytes([good[-5] ^ 1]) + good[-4:]
    for name, spoilt in {"flipped": flipped, "cut": good[: len(good) // 2]}.items():
        folder = tmp_path / f"{name}.map"
        folder.mkdir()
        for file in plane_map.folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        raster = folder / "elevation.tif"
        raster.write_bytes(spoilt)
        with pytest.raises(InputError, match=r"elevation\.tif: damaged"):
            LunarMap.open(folder)
        info = map_info(folder)
        assert info["intact"] is False
        raster.unlink()
        with pytest.raises(InputError, match=r"elevation\.tif: missing"):
            LunarMap.open(folder, verify=False)


def test_a_map_says_what_it_is(smooth_map: LunarMap) -> None:
    assert smooth_map.name == "smooth"
    assert smooth_map.bounds == pytest.approx((-5.01, 10.0, 172.0, -169.97))
    assert smooth_map.bounds.longitude_east_deg < smooth_map.bounds.longitude_west_deg
    assert smooth_map.height_sigma_m == 15.0
    low, high = smooth_map.height_range_m
    with rasterio.open(smooth_map.path) as dataset:
        values = dataset.read(1)
    assert (low, high) == (values.min(), values.max())
    info = map_info(smooth_map.folder)
    assert info["intact"] is True and info["name"] == "smooth"
