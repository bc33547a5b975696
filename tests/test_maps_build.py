"""Maps are built from products of every usual projection, and bad products are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from maps_products import MOON_2000, NORTH_POLAR, terrain, write_raster, write_terrain
from numpy.typing import NDArray

from trn.errors import InputError
from trn.maps import LunarMap, build_map, map_info

SOUTH_POLAR_FROM_90_EAST = "+proj=stere +lat_0=-90 +lon_0=90 +k=1 +R=1737400 +units=m +no_defs"
EQUIRECTANGULAR = "+proj=eqc +lat_ts=30 +lon_0={} +R=1737400 +units=m +no_defs"
MERCATOR = "+proj=merc +lon_0=0 +R=1737400 +units=m +no_defs"


def errors_of(moon_map: LunarMap, latitude_deg: Any, longitude_deg: Any) -> NDArray[np.float64]:
    """Distances of a map's finest heights from the terrain, on the grid of two axes."""
    latitude, longitude = np.meshgrid(latitude_deg, longitude_deg, indexing="ij")
    heights = moon_map.resample(np.deg2rad(latitude), np.deg2rad(longitude), 1.0)
    return np.asarray(np.abs(heights - terrain(latitude, longitude)))


def test_a_geographic_product_is_copied_number_for_number(data_dir: Path, tmp_path: Path) -> None:
    product = data_dir / "maps" / "frigoris_256ppd.tif"
    moon_map = build_map([product], tmp_path / "frigoris.map")
    with rasterio.open(product) as before, rasterio.open(moon_map.path) as after:
        assert np.array_equal(before.read(1), after.read(1))
        assert before.transform == after.transform
        assert after.dtypes[0] == "int16"
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_bounds_cut_whole_pixels(tmp_path: Path) -> None:
    product = write_terrain(tmp_path / "a.tif", (400, 600), (20.0, 30.0), 0.01, dtype="int16")
    moon_map = build_map([product], tmp_path / "a.map", bounds=(27.003, 29.0, 21.0, 24.5))
    assert moon_map.bounds == (27.003, 29.0, 21.0, 24.5)
    with rasterio.open(product) as before, rasterio.open(moon_map.path) as after:
        assert after.shape == (200, 350)
        assert np.array_equal(before.read(1)[100:300, 100:450], after.read(1))


@pytest.mark.parametrize("east_west", [(-180.0, 179.0 - 360.0 + 1.0), (180.0, 180.0)])
def test_tiles_that_meet_at_longitude_180_make_one_map(
    tmp_path: Path, east_west: tuple[float, float]
) -> None:
    west = write_terrain(tmp_path / "w.tif", (300, 500), (175.0, 5.0), 0.01)
    east = write_terrain(tmp_path / "e.tif", (300, 400), (east_west[0], 5.0), 0.01)
    moon_map = build_map([west, east], tmp_path / "both.map")
    assert moon_map.bounds == pytest.approx((2.0, 5.0, 175.0, -176.0))
    with rasterio.open(moon_map.path) as dataset:
        assert (dataset.bounds.left, dataset.bounds.right) == pytest.approx((175.0, 184.0))
    for longitudes in (np.linspace(179.5, 180.5, 41), np.linspace(-180.5, -179.5, 41)):
        assert errors_of(moon_map, np.linspace(3.0, 4.0, 31), longitudes).max() < 0.01


def test_a_whole_moon_is_sampled_across_its_seam(tmp_path: Path) -> None:
    for left in (-180.0, 0.0):
        product = write_terrain(tmp_path / "all.tif", (360, 720), (left, 90.0), 0.5)
        moon_map = build_map([product], tmp_path / "all.map")
        assert moon_map.bounds == (-90.0, 90.0, -180.0, 180.0)
        for middle in (-180.0, 0.0, 180.0, 360.0):
            around = middle + np.linspace(-3.0, 3.0, 61)
            assert errors_of(moon_map, np.linspace(-40.0, 40.0, 21), around).max() < 1.0


def test_a_0_to_360_product_is_cut_at_bounds_that_cross_180(tmp_path: Path) -> None:
    product = write_terrain(tmp_path / "all.tif", (360, 720), (0.0, 90.0), 0.5)
    for west, east in ((170.0, -170.0), (170.0, 190.0), (-190.0, -170.0)):
        moon_map = build_map([product], tmp_path / "cut.map", bounds=(-20.0, 20.0, west, east))
        assert moon_map.bounds == (-20.0, 20.0, 170.0, -170.0)
        assert np.isfinite(moon_map.height(0.0, [171.0, 179.9, 180.1, -171.0])).all()
        assert np.isnan(moon_map.height(0.0, [169.0, -169.0, 0.0])).all()


@pytest.mark.parametrize("centre_deg", [0, 180])
def test_equirectangular_products_only_change_their_axes(tmp_path: Path, centre_deg: int) -> None:
    crs = EQUIRECTANGULAR.format(centre_deg)
    metre_per_degree = np.deg2rad(1737400.0) * np.cos(np.deg2rad(30.0))
    x = (170.0 - centre_deg) * metre_per_degree
    product = write_terrain(tmp_path / "eqc.tif", (500, 500), (x, 900e3), 500.0, crs, "int16")
    moon_map = build_map([product], tmp_path / "eqc.map")
    with rasterio.open(product) as before, rasterio.open(moon_map.path) as after:
        assert np.array_equal(before.read(1), after.read(1))
    assert errors_of(moon_map, np.linspace(24.0, 28.0, 31), np.linspace(171.0, 178.0, 31)).max() < 2


def test_a_polar_product_keeps_its_pixels_and_holds_the_pole(tmp_path: Path) -> None:
    product = write_terrain(
        tmp_path / "p.tif", (600, 600), (-300e3, 300e3), 1000.0, NORTH_POLAR, "int16"
    )
    moon_map = build_map([product], tmp_path / "p.map")
    with rasterio.open(product) as before, rasterio.open(moon_map.path) as after:
        assert np.array_equal(before.read(1), after.read(1))
        assert before.transform == after.transform
    assert moon_map.bounds[1:] == (90.0, -180.0, 180.0)
    assert (
        errors_of(moon_map, np.linspace(82.0, 90.0, 41), np.linspace(-180.0, 180.0, 73)).max() < 2
    )


def test_a_turned_polar_product_is_resampled(tmp_path: Path) -> None:
    product = write_terrain(
        tmp_path / "p.tif", (600, 600), (-300e3, 300e3), 1000.0, SOUTH_POLAR_FROM_90_EAST
    )
    moon_map = build_map([product], tmp_path / "p.map", bounds=(-90.0, -83.0, -180.0, 180.0))
    assert moon_map.manifest.elevation.projection == "south_polar"
    error = errors_of(moon_map, np.linspace(-90.0, -83.1, 41), np.linspace(-180.0, 180.0, 73))
    assert error.max() < 0.05


def test_geographic_tiles_towards_a_pole_become_polar_stereographic(tmp_path: Path) -> None:
    tiles = [
        write_terrain(tmp_path / f"{west}.tif", (200, 450), (west, 90.0), 0.1)
        for west in (-90.0, -45.0, 0.0, 45.0)
    ]
    moon_map = build_map(tiles, tmp_path / "n.map", bounds=(72.0, 88.0, -80.0, 80.0))
    assert moon_map.manifest.elevation.projection == "north_polar"
    error = errors_of(moon_map, np.linspace(72.2, 87.8, 50), np.linspace(-79.0, 79.0, 50))
    # Where tiles meet, half a pixel on either side is held level.
    assert np.median(error) < 0.1
    assert error.max() < 30.0


def test_any_other_lunar_projection_is_warped(tmp_path: Path) -> None:
    product = write_terrain(tmp_path / "m.tif", (500, 500), (300e3, 900e3), 500.0, MERCATOR)
    moon_map = build_map([product], tmp_path / "m.map")
    assert moon_map.manifest.elevation.projection == "geographic"
    assert errors_of(moon_map, np.linspace(21.5, 27.0, 31), np.linspace(11.0, 17.0, 31)).max() < 0.1


def test_holes_stay_holes(tmp_path: Path) -> None:
    heights = np.full((300, 300), 100, dtype=np.int16)
    hole = np.zeros(heights.shape, dtype=bool)
    hole[50:53, 60:110] = hole[200, 200] = hole[120:200, 10:90] = True
    heights[hole] = -9999
    product = write_raster(
        tmp_path / "h.tif", heights, (10.0, 10.0), (0.01, 0.01), MOON_2000, nodata=-9999
    )
    moon_map = build_map([product], tmp_path / "h.map")
    centres = 10.0 - (np.arange(300) + 0.5) * 0.01, 10.0 + (np.arange(300) + 0.5) * 0.01
    assert np.array_equal(np.isnan(moon_map.height(centres[0][:, None], centres[1][None])), hole)
    assert moon_map.height_range_m == (100.0, 100.0)
    fine = moon_map.resample(
        np.deg2rad(10.0 - np.linspace(0.0, 3.0, 1201))[:, None],
        np.deg2rad(10.0 + np.linspace(0.0, 3.0, 1201))[None],
        1.0,
    )
    assert np.all(np.isnan(fine) | (fine == 100.0))
    assert np.isnan(fine[480:800, 40:360]).all()


def test_a_warp_never_fills_holes(tmp_path: Path) -> None:
    heights = np.full((400, 400), 7.0, dtype=np.float32)
    heights[180:220, 180:220] = np.nan
    product = write_raster(
        tmp_path / "m.tif", heights, (300e3, 900e3), (500.0, 500.0), MERCATOR, nodata=np.nan
    )
    moon_map = build_map([product], tmp_path / "m.map")
    with rasterio.open(moon_map.path) as dataset:
        assert set(np.unique(dataset.read(1, masked=True).compressed())) == {np.float32(7.0)}
        inside = np.isnan(dataset.read(1)).sum()
    assert np.isnan(moon_map.height(*_middle_of(moon_map)))
    assert inside >= 40 * 40


def _middle_of(moon_map: LunarMap) -> tuple[float, float]:
    b = moon_map.bounds
    return (
        (b.latitude_min_deg + b.latitude_max_deg) / 2,
        (b.longitude_west_deg + b.longitude_east_deg) / 2,
    )


def test_a_later_product_fills_the_holes_of_an_earlier_one(tmp_path: Path) -> None:
    first = np.full((100, 100), 1, dtype=np.int16)
    first[40:60, 40:60] = -32768
    both = [
        write_raster(tmp_path / "1.tif", first, (0.0, 1.0), (0.01, 0.01)),
        write_raster(tmp_path / "2.tif", np.full_like(first, 2), (0.0, 1.0), (0.01, 0.01)),
    ]
    moon_map = build_map(both, tmp_path / "m.map")
    assert moon_map.height(0.805, 0.205) == 1.0
    assert moon_map.height(0.505, 0.505) == 2.0


@pytest.mark.parametrize(
    ("stored", "scale", "offset"),
    [(1_737_500.0, 1.0, 0.0), (200.0, 0.5, 0.0), (200.0, 0.5, 1_737_400.0)],
)
def test_scale_offset_and_radius_become_heights(
    tmp_path: Path, stored: float, scale: float, offset: float
) -> None:
    product = write_raster(
        tmp_path / "r.tif",
        np.full((50, 50), stored, dtype=np.float32),
        (0.0, 1.0),
        (0.01, 0.01),
        scale_offset=(scale, offset),
    )
    assert build_map([product], tmp_path / "r.map").height(0.8, 0.2) == 100.0


def _flat(path: Path, value: float = 5.0, crs: str | None = MOON_2000) -> Path:
    return write_raster(
        path, np.full((50, 50), value, dtype=np.float32), (0.0, 1.0), (0.01, 0.01), crs
    )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_products_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    cases = {
        "CRS: none": _flat(tmp_path / "none.tif", crs=None),
        "CRS: its ellipsoid": _flat(tmp_path / "earth.tif", crs="EPSG:4326"),
        "not a raster": text,
        "no such file": tmp_path / "absent.tif",
        "no lunar heights": _flat(tmp_path / "high.tif", 50_000.0),
    }
    for problem, product in cases.items():
        with pytest.raises(InputError, match=problem) as caught:
            build_map([product], tmp_path / "bad.map")
        assert product.name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if "bad.map" in p.name]


@pytest.mark.parametrize(
    "bounds",
    [
        (40.0, 50.0, 0.1, 0.2),
        (0.6, 0.9, 10.0, 20.0),
        (0.6, 0.6, 0.1, 0.2),
        (0.6, 0.9, 0.1, 0.1),
        (0.6, np.nan, 0.1, 0.2),
        (0.6, 91.0, 0.1, 0.2),
    ],
)
def test_bounds_outside_the_data_are_refused(
    tmp_path: Path, bounds: tuple[float, float, float, float]
) -> None:
    with pytest.raises(InputError, match="bounds"):
        build_map([_flat(tmp_path / "a.tif")], tmp_path / "a.map", bounds=bounds)
    assert not (tmp_path / "a.map").exists()


def test_a_folder_that_is_no_map_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="is no map"):
        build_map([_flat(tmp_path / "a.tif")], other)
    assert (other / "notes.txt").read_text() == "keep"


def test_a_map_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.map"
    build_map([_flat(tmp_path / "a.tif", 5.0)], target)
    build_map([target / "elevation.tif"], target, height_sigma_m=3.0)
    assert LunarMap.open(target).height_sigma_m == 3.0
    with pytest.raises(InputError):
        build_map([tmp_path / "absent.tif"], target)
    assert LunarMap.open(target).height(0.8, 0.2) == 5.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.map", "a.tif"]


def test_albedo_and_craters_are_carried_along(tmp_path: Path) -> None:
    product = _flat(tmp_path / "a.tif")
    albedo = _flat(tmp_path / "albedo.tif", 0.12)
    craters = tmp_path / "c.csv"
    craters.write_text("id,latitude_deg,longitude_east_deg,diameter_km\nx,0.7,0.2,1.5\n")
    shares: list[float] = []
    moon_map = build_map([product], tmp_path / "a.map", albedo, craters, progress=shares.append)
    assert shares[0] == 0.0 and shares[-1] == 1.0 and shares == sorted(shares)
    assert moon_map.craters_path is not None and moon_map.albedo_path is not None
    listed = moon_map.craters()
    assert listed is not None and listed is moon_map.craters()
    assert listed.id.tolist() == ["x"] and listed.diameter_m.tolist() == [1500.0]
    assert np.degrees([listed.latitude[0], listed.longitude[0]]) == pytest.approx([0.7, 0.2])
    header = moon_map.craters_path.read_text().splitlines()[0]
    assert header == "id,latitude_deg,longitude_east_deg,diameter_km,major_km,minor_km,angle_deg"
    with rasterio.open(moon_map.albedo_path) as dataset:
        assert dataset.read(1)[3, 3] == np.float32(0.12)
    files = map_info(tmp_path / "a.map")["files"]
    assert isinstance(files, dict) and set(files) == {"elevation.tif", "albedo.tif", "craters.csv"}


def test_broken_rows_of_a_catalogue_are_skipped_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    craters = tmp_path / "c.csv"
    craters.write_text(
        "latitude_deg,longitude_east_deg,diameter_km\n0.7,0.2,3\n91,2,3\n0.7,x,3\n0.8,0.3,-3\n"
    )
    moon_map = build_map([_flat(tmp_path / "a.tif")], tmp_path / "a.map", craters=craters)
    listed = moon_map.craters()
    assert listed is not None and listed.id.tolist() == ["line2"]
    assert "3 of 4 rows skipped" in caplog.text
    for named in ("line 3: latitude_deg", "line 4: longitude_east_deg", "line 5: diameter_km"):
        assert named in caplog.text


def test_only_craters_that_reach_into_the_map_are_carried_along(tmp_path: Path) -> None:
    craters = tmp_path / "c.csv"
    rows = ["in,0.7,0.2,3", "rim,0.7,-0.05,10", "out,0.7,-0.05,1", "far,-60,150,90"]
    craters.write_text("id,latitude_deg,longitude_east_deg,diameter_km\n" + "\n".join(rows))
    moon_map = build_map([_flat(tmp_path / "a.tif")], tmp_path / "a.map", craters=craters)
    listed = moon_map.craters()
    assert listed is not None and listed.id.tolist() == ["rim", "in"]
    craters.write_text("latitude_deg,longitude_east_deg,diameter_km\n-60,150,90\n")
    bare = build_map([_flat(tmp_path / "a.tif")], tmp_path / "a.map", craters=craters)
    assert bare.craters_path is None and bare.craters() is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("latitude_deg,diameter_km\n1,2\n", "longitude_east_deg: missing"),
        ("latitude_deg,longitude_east_deg,diameter_km\n91,2,3\n", "line 2: latitude_deg"),
        ("latitude_deg,longitude_east_deg,diameter_km\n1,2,-3\n", "line 2: diameter_km"),
        ("latitude_deg,longitude_east_deg,diameter_km\n1,x,3\n", "line 2: longitude_east_deg"),
        ("latitude_deg,longitude_east_deg,diameter_km\n1\n", "line 2: longitude_east_deg"),
        ("latitude_deg,longitude_east_deg,diameter_km\n1,2,1500\n1,3,4500\n2,2,6500\n", "metres"),
        ("", "empty; .*latitude_deg"),
    ],
)
def test_a_bad_crater_catalogue_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    craters = tmp_path / "c.csv"
    craters.write_text(text)
    with pytest.raises(InputError, match=problem):
        build_map([_flat(tmp_path / "a.tif")], tmp_path / "a.map", craters=craters)
