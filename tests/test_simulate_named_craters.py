"""Sites of named regions have their craters where, as wide and as deep as published."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from trn.errors import InputError
from trn.simulate.named_craters import (
    NamedCrater,
    load_region,
    read_region,
    regions,
    rise_from_floor,
)
from trn.simulate.site import named_site

Array = NDArray[np.float64]

KM_PER_DEGREE = 1737.4 * math.pi / 180.0
DENSITY = 32


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("named")
    return {
        name: named_site(folder / f"{name}.tif", name, pixels_per_degree=DENSITY)
        for name in regions()
    }


def heights(path: Path) -> Array:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1), np.float64)


def rim_to_floor_m(height_m: Array, bounds: tuple[float, float], crater: NamedCrater) -> float:
    """Depth as the file defines it; bounds: north and west edges, degrees."""
    rows, columns = np.indices(height_m.shape)
    north = (bounds[0] - (rows + 0.5) / DENSITY - crater.latitude_deg) * KM_PER_DEGREE
    east = (bounds[1] + (columns + 0.5) / DENSITY - crater.longitude_east_deg) * KM_PER_DEGREE
    east *= math.cos(math.radians(crater.latitude_deg))
    fraction = np.hypot(north, east) / (0.5 * crater.diameter_km)
    sector = ((np.arctan2(east, north) + math.pi) / (2.0 * math.pi) * 36).astype(int) % 36
    about_rim = (fraction > 0.86) & (fraction < 1.18)
    crests = [
        height_m[about_rim & (sector == k)].max()
        for k in range(36)
        if (about_rim & (sector == k)).any()
    ]
    on_floor = fraction < 0.9 * crater.floor_diameter_km / crater.diameter_km
    return float(np.median(crests) - np.median(height_m[on_floor]))


def distance_km(one: NamedCrater, other: NamedCrater) -> float:
    north = (one.latitude_deg - other.latitude_deg) * KM_PER_DEGREE
    east = (one.longitude_east_deg - other.longitude_east_deg) * KM_PER_DEGREE
    return math.hypot(north, east * math.cos(math.radians(one.latitude_deg)))


def test_the_regions_are_those_with_real_maps() -> None:
    assert regions() == ["atlas", "crisium", "frigoris", "tycho"]
    for name in regions():
        region = load_region(name)
        assert 6 <= len(region.craters) + len(region.mountains) <= 25
        assert "IAU" in region.source


@pytest.mark.parametrize("name", ["atlas", "crisium", "frigoris", "tycho"])
def test_large_craters_are_as_deep_as_published(sites: dict[str, Path], name: str) -> None:
    region = load_region(name)
    height = heights(sites[name])
    (south, north), (west, east) = region.latitude_deg, region.longitude_east_deg
    checked = 0
    for k, crater in enumerate(region.craters):
        margin_deg = 0.4 * crater.diameter_km / KM_PER_DEGREE
        across_deg = margin_deg / math.cos(math.radians(crater.latitude_deg))
        inside = (
            south + margin_deg < crater.latitude_deg < north - margin_deg
            and west + across_deg < crater.longitude_east_deg < east - across_deg
        )
        # A younger crater of its size has taken part of its rim and floor.
        cut = any(
            0.5 * crater.diameter_km < younger.diameter_km
            and distance_km(crater, younger) < 0.5 * (crater.diameter_km + younger.diameter_km)
            for younger in region.craters[k + 1 :]
        )
        # Smaller ones have walls of a pixel or two here.
        if inside and not cut and crater.floor == "flat" and crater.diameter_km > 25.0:
            checked += 1
            depth_m = rim_to_floor_m(height, (north, west), crater)
            assert depth_m == pytest.approx(1e3 * crater.depth_km, rel=0.2), crater.name
    assert checked >= {"atlas": 5, "crisium": 0, "frigoris": 1, "tycho": 8}[name]


def test_a_wall_rises_steadily_from_the_floor_to_the_crest() -> None:
    picard = next(c for c in load_region("crisium").craters if c.name == "Picard")
    edge = picard.floor_diameter_km / picard.diameter_km
    rise = rise_from_floor(picard, np.array([0.0, edge, 1.0]))
    assert np.allclose(rise, [0.0, 0.0, 1.0])
    assert np.all(np.diff(rise_from_floor(picard, np.linspace(0.0, 1.0, 200))) >= 0.0)


def test_atlas_resembles_the_real_one_along_its_meridian(
    sites: dict[str, Path], data_dir: Path
) -> None:
    made = heights(sites["atlas"])
    with rasterio.open(data_dir / "maps" / "atlas_256ppd.tif") as source:
        real = np.asarray(source.read(1), np.float64)
    block = 256 // DENSITY
    real = real.reshape(made.shape[0], block, made.shape[1], block).mean((1, 3))
    column = round((44.4 - 37.0) * DENSITY)
    # A pixel is 0.95 km here.
    profiles = [uniform_filter1d(h[:, column - 1 : column + 2].mean(1), 3) for h in (made, real)]
    assert np.corrcoef(profiles)[0, 1] >= 0.8

    atlas = next(c for c in load_region("atlas").craters if c.name == "Atlas")
    latitude = 52.0 - (np.arange(made.shape[0]) + 0.5) / DENSITY
    fraction = np.abs(latitude - atlas.latitude_deg) * KM_PER_DEGREE / (0.5 * atlas.diameter_km)
    floors = [np.median(p[(fraction > 0.2) & (fraction < 0.65)]) for p in profiles]
    rims = [p[(fraction > 0.85) & (fraction < 1.15)].max() for p in profiles]
    assert abs(floors[0] - floors[1]) < 500.0
    assert abs(rims[0] - rims[1]) < 500.0


def test_maria_are_smooth_and_highlands_rough(sites: dict[str, Path]) -> None:
    def slope_deg(name: str, window: tuple[float, float, float, float]) -> float:
        """Rms slope over 0.95 km from south to north in north, south, west, east degrees."""
        region, height = load_region(name), heights(sites[name])
        north, west = region.latitude_deg[1], region.longitude_east_deg[0]
        rows = slice(round((north - window[0]) * DENSITY), round((north - window[1]) * DENSITY))
        columns = slice(round((window[2] - west) * DENSITY), round((window[3] - west) * DENSITY))
        rise = np.diff(height[rows, columns], axis=0)
        return math.degrees(math.atan(float(rise.std()) / (1e3 * KM_PER_DEGREE / DENSITY)))

    assert 0.2 < slope_deg("crisium", (20.5, 15.5, 55.0, 63.0)) < 1.5
    assert 0.2 < slope_deg("frigoris", (60.0, 57.5, -14.0, 3.0)) < 1.5
    assert 3.0 < slope_deg("tycho", (-39.0, -47.0, -18.0, -5.0)) < 9.0


def test_an_unknown_region_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such region; choose one of atlas"):
        named_site(tmp_path / "site.tif", "hadley")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth_km = 3.05", "depth_km = -3.05", "depth_km must be 0.01 to 15"),
        ('floor = "flat"', 'floor = "deep"', "floor must be flat or bowl"),
        ("base_height_m = -1800.0", 'base_height_m = "low"', "base_height_m must be a number"),
        ("latitude_deg = [42.0, 52.0]", "latitude_deg = [52.0, 42.0]", "latitude_deg must rise"),
        ('name = "Atlas E"', "name = 5", "name must be text"),
        ("[atlas]", "[atlas", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_on_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (Path(__file__).parents[1] / "datasets" / "named_craters.toml").read_text("utf-8")
    assert old in text
    path = tmp_path / "craters.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError) as refused:
        read_region(path, "atlas")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
