"""The terrain under a view: where its nodes stand, and which part of a map gives them heights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cuda_scenes import heights_of_part
from tests.maps_products import GEOGRAPHIC, NORTH_POLAR, terrain, write_terrain
from trn.backend.protocol import TerrainCut
from trn.maps import LunarMap, build_map
from trn.maps import raster as raster_module
from trn.maps.tile import cut_tile, terrain_cut
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import geographic_from_position, position_from_geographic

Float64 = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

PLACES = {
    "across longitude 180": ("region", 2.0, 179.9),
    "at the pole": ("polar", 89.9, 20.0),
    "by the pole": ("polar", 83.0, -170.0),
    "over the seam": ("moon", -20.0, 180.0),
    "near the pole of a geographic map": ("moon", 84.0, 100.0),
}


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LunarMap]:
    folder = tmp_path_factory.mktemp("tile")
    products = {
        "region": ((901, 1003), (172.0, 7.0), 0.01, GEOGRAPHIC),
        "polar": ((801, 1001), (-500e3, 400e3), 1000.0, NORTH_POLAR),
        "moon": ((720, 1440), (-180.0, 90.0), 0.25, GEOGRAPHIC),
    }
    return {
        name: build_map([write_terrain(folder / f"{name}.tif", *given)], folder / f"{name}.map")
        for name, given in products.items()
    }


def wanted(
    moon_map: LunarMap, latitude_deg: float, longitude_deg: float, spacing: float = 1.0
) -> tuple[LunarMap, Float64, Bounds, float]:
    """A tile of 40 of the map's pixels to each side, its nodes `spacing` pixels apart."""
    reach = 40.0 * moon_map.resolution_m / REFERENCE_RADIUS_M
    centre = position_from_geographic(np.deg2rad(latitude_deg), np.deg2rad(longitude_deg), 0.0)
    bounds = (-reach, 1.1 * reach, -0.7 * reach, 0.8 * reach)
    return moon_map, centre, bounds, spacing * moon_map.resolution_m


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spacing", [0.5, 2.9])
def test_one_part_of_a_raster_has_the_heights_of_the_whole_tile(
    maps: dict[str, LunarMap], place: str, spacing: float
) -> None:
    name, latitude_deg, longitude_deg = PLACES[place]
    tile = cut_tile(*wanted(maps[name], latitude_deg, longitude_deg, spacing))
    cut = terrain_cut(*wanted(maps[name], latitude_deg, longitude_deg, spacing))
    part = cut.raster()
    assert part is not None
    np.testing.assert_array_equal(heights_of_part(cut.grid, part), tile.surface.heights_m)
    np.testing.assert_array_equal(cut.on_host().heights_m, tile.surface.heights_m)
    np.testing.assert_array_equal(cut.grid.axes, tile.grid.axes)
    assert not tile.surface.hole.any()


def test_nodes_stand_on_the_ground_that_they_have_the_heights_of(maps: dict[str, LunarMap]) -> None:
    tile = cut_tile(*wanted(maps["region"], 2.0, 179.9))
    x, y = np.meshgrid(tile.grid.x, tile.grid.y)
    body = np.stack([x, y, np.ones_like(x)], axis=-1) @ tile.grid.axes
    latitude, longitude, _ = geographic_from_position(body)
    expected = terrain(np.rad2deg(latitude), np.rad2deg(longitude))
    assert np.abs(tile.surface.heights_m - expected).max() < 1.0
    local = tile.grid.to_local(body)
    np.testing.assert_allclose(local, np.stack([x, y, np.ones_like(x)], axis=-1), atol=1e-12)


def test_a_part_serves_no_place_that_lacks_a_neighbour(
    maps: dict[str, LunarMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its window ends inside the raster; at the raster's own edge the last pixel holds."""
    monkeypatch.setattr(raster_module, "ALIGNMENT_PX", 1)
    for latitude_deg, longitude_deg in ((2.0, 177.0), (6.4, 172.6), (-1.4, 181.4)):
        moon_map = LunarMap.open(maps["region"].folder)
        part = terrain_cut(*wanted(moon_map, latitude_deg, longitude_deg)).raster()
        assert part is not None
        rows, columns = part.window.values.shape
        first_row, first_column = part.window.first_row, part.first_column
        row_low, row_high, column_low, column_high = part.limits
        for low, first, high, end, all_of_them in (
            (row_low, first_row, row_high, first_row + rows, 901),
            (column_low, first_column, column_high, first_column + columns, 1003),
        ):
            assert low == (first + 1 if first > 0 else pytest.approx(-0.5, abs=1e-8))
            assert high == (
                end - 3 if end < all_of_them else pytest.approx(all_of_them - 0.5, abs=1e-8)
            )


REFUSED: dict[str, tuple[str, float, float]] = {
    "partly off the map": ("region", 6.9, 175.0),
    "off the map": ("region", 40.0, 175.0),
    "beyond the other edge": ("region", 2.0, -177.99),
    "beyond a polar map's edge": ("polar", 75.0, 0.0),
}


@pytest.mark.parametrize("where", REFUSED)
def test_what_leaves_the_map_has_no_part(maps: dict[str, LunarMap], where: str) -> None:
    name, latitude_deg, longitude_deg = REFUSED[where]
    cut = terrain_cut(*wanted(maps[name], latitude_deg, longitude_deg))
    assert cut.raster() is None
    assert cut.on_host().hole.any()


@pytest.mark.parametrize("bound", ["MAX_WINDOW_PIXELS", "DENSE_WINDOW_PIXELS"])
def test_what_one_window_should_not_hold_has_no_part(
    maps: dict[str, LunarMap], bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: TerrainCut = terrain_cut(*wanted(maps["region"], 2.0, 177.0))
    assert cut.raster() is not None
    monkeypatch.setattr(raster_module, bound, 1000)
    monkeypatch.setattr(raster_module, "SPARSE_PIXELS_PER_POINT", 0)
    assert cut.raster() is None


def test_a_cut_reads_nothing_until_it_is_asked(
    maps: dict[str, LunarMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    moon_map = LunarMap.open(maps["region"].folder)
    windows = moon_map._levels[0][1].cache._windows
    cut = terrain_cut(*wanted(moon_map, 2.0, 177.0))
    assert len(windows) == 0
    cut.raster()
    assert len(windows) == 1
    assert cut.raster() is not None
    assert len(windows) == 1
