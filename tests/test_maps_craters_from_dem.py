"""Craters of the map itself: bowls made for the test are found, level ground gives none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from maps_products import GEOGRAPHIC, NORTH_POLAR, write_raster
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from trn.backend.protocol import Surface
from trn.maps import LunarMap, build_map
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog, write_catalog
from trn.maps.dem_craters import Bowls
from trn.maps.lunar_map import MapBounds
from trn.maps.map_catalog import craters_within
from trn.maps.map_craters import find_map_craters, match_craters
from trn.maps.sunlit import repeatability
from trn.maps.tile import max_pyramid
from trn.moon.frames import east_north_up, position_from_geographic

RADIUS_M = 1_737_400.0
PIXEL_DEG = 1.0 / 256.0
Bowl = tuple[float, float, float, float, float]
"""Latitude, longitude (degrees), major and minor axis (metres), angle from east to north (degrees).
"""

SITE: list[Bowl] = [
    (10.45, 20.30, 1300.0, 1300.0, 0.0),
    (10.30, 20.60, 1900.0, 1900.0, 0.0),
    (10.75, 20.25, 1600.0, 1600.0, 0.0),
    (10.70, 20.70, 2000.0, 1600.0, 30.0),
    (10.20, 20.25, 1500.0, 1500.0, 0.0),
]


def bowls(latitude_deg: Any, longitude_deg: Any, craters: list[Bowl]) -> NDArray[np.float64]:
    """Heights, metres: parabolic bowls a tenth as deep as wide, rims that fall off outwards."""
    points = position_from_geographic(np.radians(latitude_deg), np.radians(longitude_deg), 0.0)
    heights = np.zeros(points.shape[:-1])
    for latitude, longitude, major, minor, angle in craters:
        centre = position_from_geographic(np.radians(latitude), np.radians(longitude), 0.0)
        east, north, up = east_north_up(centre)
        e, n = points @ east, points @ north
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        r = np.hypot((c * e + s * n) / (0.5 * major), (-s * e + c * n) / (0.5 * minor))
        r = np.where(points @ up > 0.0, r, 99.0)
        depth = 0.1 * np.sqrt(major * minor)
        rim = 0.2 * depth
        heights += np.where(r <= 1.0, depth * r**2 - depth + rim, rim * np.maximum(r, 1.0) ** -3)
    return heights


def noise(shape: tuple[int, int], sigma_m: float = 4.0, seed: int = 0) -> NDArray[np.float64]:
    """Relief without craters: smooth noise, and slopes of a few degrees."""
    rng = np.random.default_rng(seed)
    rough = gaussian_filter(rng.normal(size=shape), 2.0)
    hills = gaussian_filter(rng.normal(size=shape), 40.0)
    return np.asarray(sigma_m * rough / rough.std() + 150.0 * hills / hills.std())


def site(path: Path, craters: list[Bowl], hole: Any = None, west: float = 20.0) -> Path:
    """A geographic product of a square degree with these craters."""
    rows = columns = 256
    latitude = 11.0 - (np.arange(rows) + 0.5) * PIXEL_DEG
    longitude = west + (np.arange(columns) + 0.5) * PIXEL_DEG
    heights = bowls(*np.meshgrid(latitude, longitude, indexing="ij"), craters)
    heights = (heights + noise(heights.shape)).astype(np.float32)
    if hole is not None:
        heights[hole] = np.nan
    corner, pixel = (west, 11.0), (PIXEL_DEG, PIXEL_DEG)
    return write_raster(path, heights, corner, pixel, GEOGRAPHIC, nodata=np.nan)


def truth(craters: list[Bowl]) -> CraterCatalog:
    """The craters made, as a catalogue."""
    latitude, longitude, major, minor, angle = np.array(craters).T
    return CraterCatalog(
        np.array([f"t{k}" for k in range(len(craters))], dtype=np.str_),
        np.radians(latitude),
        np.radians(longitude),
        np.sqrt(major * minor),
        major,
        minor,
        np.radians(angle),
    )


def offsets_m(found: CraterCatalog, made: CraterCatalog) -> NDArray[np.float64]:
    """Distances of centres."""
    places = (position_from_geographic(c.latitude, c.longitude, 0.0) for c in (found, made))
    first, second = places
    return np.asarray(np.linalg.norm(first - second, axis=1))


@pytest.fixture(scope="module")
def site_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    folder = tmp_path_factory.mktemp("site")
    return build_map([site(folder / "dem.tif", SITE)], folder / "site.map")


def test_bowls_are_found_in_place_and_size(site_map: LunarMap) -> None:
    shares: list[float] = []
    found = find_map_craters(site_map, progress=shares.append)
    made = truth(SITE)
    at = match_craters(found.catalog, made)
    assert sorted(at[at >= 0].tolist()) == list(range(len(SITE)))
    assert (at >= 0).sum() >= len(found) - 1
    real, same = found.catalog.chosen(at >= 0), made.chosen(at[at >= 0])
    assert offsets_m(real, same).max() < 120.0
    assert real.diameter_m / same.diameter_m == pytest.approx(1.0, abs=0.12)
    assert found.repeatability[at >= 0].min() > 0.9
    assert found.depth_m[at >= 0] == pytest.approx(0.1 * same.diameter_m, rel=0.35)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert (np.diff(found.catalog.diameter_m) <= 0.0).all()
    assert len(set(found.catalog.id.tolist())) == len(found)


def test_the_ellipse_lies_as_made(site_map: LunarMap) -> None:
    found = find_map_craters(site_map).catalog
    at = match_craters(found, truth(SITE))
    long = found.chosen(np.flatnonzero(at == 3))
    assert long.major_m[0] / long.minor_m[0] == pytest.approx(1.25, abs=0.12)
    assert np.degrees(long.angle[0]) == pytest.approx(30.0, abs=15.0)


def test_level_rough_ground_has_no_craters(tmp_path: Path) -> None:
    plain = build_map([site(tmp_path / "dem.tif", [])], tmp_path / "plain.map")
    assert len(find_map_craters(plain)) == 0


@pytest.mark.parametrize(("pixels", "pixel_deg"), [(60, PIXEL_DEG), (9, PIXEL_DEG), (60, 0.1)])
def test_flat_tiny_and_coarse_maps_have_none(
    tmp_path: Path, pixels: int, pixel_deg: float, caplog: pytest.LogCaptureFixture
) -> None:
    heights = np.full((pixels, pixels), 5.0, dtype=np.float32)
    product = write_raster(tmp_path / "f.tif", heights, (20.0, 11.0), (pixel_deg, pixel_deg))
    flat = build_map([product], tmp_path / "f.map", craters_from_dem=True)
    assert flat.craters() is None and flat.craters_path is None
    assert "no crater is listed or found" in caplog.text


def test_known_craters_are_left_out_and_the_same_map_gives_the_same(site_map: LunarMap) -> None:
    known = truth(SITE[:3])
    found = find_map_craters(site_map, known)
    assert (match_craters(found.catalog, known) < 0).all()
    again = find_map_craters(site_map, known)
    assert found.catalog.id.tolist() == again.catalog.id.tolist()
    assert np.array_equal(found.repeatability, again.repeatability)


def test_a_bowl_shows_under_every_sun_and_a_dome_under_none() -> None:
    y, x = np.mgrid[0:120, 0:120].astype(float)
    step = 100.0 / RADIUS_M
    heights = np.zeros((120, 120), dtype=np.float32)
    for at, sign in ((35.0, 1.0), (85.0, -1.0)):
        r = np.hypot(x - at, y - at) / 10.0
        heights += (sign * np.where(r < 1.0, 200.0 * (r**2 - 1.0), 0.0)).astype(np.float32)
    hole = np.zeros(heights.shape, dtype=bool)
    edge = -59.5 * step
    surface = Surface(edge, edge, step, RADIUS_M, heights, hole, max_pyramid(heights))
    at, size = np.array([35.0, 85.0]), np.full(2, 10.0)
    score = repeatability(surface, Bowls(at, at, size, size, np.zeros(2), 20.0 * size, size))
    assert score.tolist() == [1.0, 0.0]
    # One that is looked for half a radius off its place is not seen there.
    moved = repeatability(surface, Bowls(at + 6.0, at, size, size, np.zeros(2), size, size))
    assert moved[0] < 0.5


@pytest.mark.parametrize(
    ("bounds", "ids"),
    [
        (MapBounds(-10.0, 10.0, 170.0, -170.0), ["west", "east"]),
        (MapBounds(-10.0, 10.0, 150.0, 170.0), ["west"]),
        (MapBounds(80.0, 90.0, -180.0, 180.0), ["pole"]),
        (MapBounds(80.0, 89.6, 10.0, 20.0), ["pole"]),
        (MapBounds(80.0, 85.0, 10.0, 20.0), []),
    ],
)
def test_craters_whose_rims_reach_into_a_region(bounds: MapBounds, ids: list[str]) -> None:
    # 60 km are 2 degrees.
    made = truth([(0.0, 170.5, 60e3, 60e3, 0.0), (0.0, -171.0, 30e3, 30e3, 0.0),
                  (89.9, -100.0, 30e3, 30e3, 0.0)])  # fmt: skip
    named = replace(made, id=np.array(["west", "east", "pole"], dtype=np.str_))
    assert craters_within(named, bounds).id.tolist() == ids


def test_craters_at_holes_are_left_out(tmp_path: Path) -> None:
    hole = np.zeros((256, 256), dtype=bool)
    # At the rim of the first crater.
    hole[130:150, 80:84] = True
    holed = build_map([site(tmp_path / "dem.tif", SITE, hole)], tmp_path / "holed.map")
    at = match_craters(find_map_craters(holed).catalog, truth(SITE))
    assert 0 not in at and {1, 2, 3, 4} <= set(at.tolist())


def test_craters_across_longitude_180_are_found(tmp_path: Path) -> None:
    moved = [(a, b - 20.5 + 180.0, c, d, e) for a, b, c, d, e in SITE]
    product = site(tmp_path / "dem.tif", moved, west=179.5)
    found = find_map_craters(build_map([product], tmp_path / "seam.map"))
    made = truth([(a, b - 360.0 * (b > 180.0), c, d, e) for a, b, c, d, e in moved])
    at = match_craters(found.catalog, made)
    assert set(range(len(SITE))) <= set(at.tolist())
    assert np.abs(found.catalog.longitude).max() <= np.pi


def test_craters_at_a_pole_are_found(tmp_path: Path) -> None:
    craters = [(89.98, 0.0, 1600.0, 1600.0, 0.0), (89.7, 100.0, 1500.0, 1500.0, 0.0),
               (89.6, -120.0, 1800.0, 1800.0, 0.0)]  # fmt: skip
    system = pyproj.CRS.from_user_input(NORTH_POLAR)
    to_ground = pyproj.Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
    x = -15_000.0 + (np.arange(300) + 0.5) * 100.0
    longitude, latitude = to_ground.transform(*np.meshgrid(x, -x))
    heights = (bowls(latitude, longitude, craters) + noise((300, 300))).astype(np.float32)
    product = write_raster(
        tmp_path / "p.tif", heights, (-15_000.0, 15_000.0), (100.0, 100.0), NORTH_POLAR
    )
    found = find_map_craters(build_map([product], tmp_path / "p.map"))
    made = truth(craters)
    at = match_craters(found.catalog, made)
    assert sorted(at[at >= 0].tolist()) == [0, 1, 2]
    assert offsets_m(found.catalog.chosen(at >= 0), made.chosen(at[at >= 0])).max() < 120.0


def test_the_command_writes_known_and_found_craters(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    product = site(tmp_path / "dem.tif", SITE)
    write_catalog(tmp_path / "known.csv", truth(SITE[:2]))
    words = ["map", "build", "--dem", product, "--craters", tmp_path / "known.csv"]
    status, out, err = run(*words, "--craters-from-dem", "--out", tmp_path / "a.map")
    assert status == 0 and err == ""
    lines = (tmp_path / "a.map" / "craters.csv").read_text().splitlines()
    assert lines[0].endswith("angle_deg,source,repeatability")
    rows = [line.split(",") for line in lines[1:]]
    listed = [row for row in rows if row[-2] == "known.csv"]
    found = [row for row in rows if row[-2] == "dem"]
    assert [row[0] for row in listed] == ["t1", "t0"] and all(row[-1] == "" for row in listed)
    assert len(found) >= 3 and all(0.5 <= float(row[-1]) <= 1.0 for row in found)
    assert f"{len(rows)} craters" in out
    opened = LunarMap.open(tmp_path / "a.map").craters()
    assert opened is not None and len(opened) == len(rows)
    again, _, _ = run(*words, "--craters-from-dem", "--out", tmp_path / "b.map")
    assert again == 0
    assert (tmp_path / "b.map/craters.csv").read_text().splitlines() == lines


def test_real_craters_of_two_kilometres_are_found_again(data_dir: Path, tmp_path: Path) -> None:
    product = data_dir / "maps" / "atlas_256ppd.tif"
    listed = read_catalog(data_dir / "catalogs" / "atlas_craters_1km.csv").catalog
    atlas = build_map([product], tmp_path / "a.map", bounds=(42.0, 46.0, 46.0, 52.0))
    found = find_map_craters(atlas, most_m=3000.0)
    at = match_craters(found.catalog, listed)
    sure = found.repeatability >= 0.75
    assert len(found) > 50
    assert (at[sure] >= 0).mean() > 0.85
    seen = found.catalog.chosen(sure & (at >= 0))
    away = offsets_m(seen, listed.chosen(at[sure & (at >= 0)]))
    assert np.median(away) < 200.0
