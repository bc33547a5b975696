"""The embedded site is the same every time and looks like the Moon in its numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio

from trn.errors import InputError
from trn.simulate.craters import density_per_km2, equilibrium_per_km2, production_per_km2, profile_m
from trn.simulate.site import ATLAS_LIKE_DIAMETER_M, named_site, synthetic_site
from trn.simulate.terrain import HeightGrid


def test_the_site_is_a_geographic_moon_map_about_square_on_the_ground(tmp_path: Path) -> None:
    path = synthetic_site(tmp_path / "site.tif", size_deg=4.0, pixels_per_degree=64)
    with rasterio.open(path) as source:
        assert source.crs.is_geographic
        assert source.crs.data == {} or "1737400" in source.crs.to_wkt()
        assert source.dtypes[0] == "int16"
        width = (source.bounds.right - source.bounds.left) * math.cos(math.radians(46.5))
        assert width == pytest.approx(source.bounds.top - source.bounds.bottom, rel=0.01)
    assert list(tmp_path.iterdir()) == [path]


def test_same_seed_same_heights(tmp_path: Path) -> None:
    def heights(name: str, seed: int) -> np.ndarray:
        path = synthetic_site(tmp_path / name, seed=seed, size_deg=2.0, pixels_per_degree=64)
        with rasterio.open(path) as source:
            return np.asarray(source.read(1))

    first = heights("a.tif", 1)
    assert np.array_equal(first, heights("b.tif", 1))
    assert not np.array_equal(first, heights("c.tif", 2))


def test_the_large_crater_is_some_3_km_from_rim_to_floor(tmp_path: Path) -> None:
    grid = HeightGrid.from_geotiff(synthetic_site(tmp_path / "site.tif", pixels_per_degree=64))
    rows, columns = grid.height_m.shape
    row, column = np.mgrid[:rows, :columns]
    north = (row - 0.5 * (rows - 1)) * grid.spacing_m
    east = (column - 0.5 * (columns - 1)) * grid.spacing_m * math.cos(math.radians(46.5))
    fraction = np.hypot(north, east) / (0.5 * ATLAS_LIKE_DIAMETER_M)
    floor = np.median(grid.height_m[(fraction > 0.25) & (fraction < 0.5)])
    rim = np.median(grid.height_m[np.abs(fraction - 1.0) < 0.02])
    assert 2500.0 < rim - floor < 4500.0


def test_slopes_are_those_of_highlands(tmp_path: Path) -> None:
    path = synthetic_site(tmp_path / "site.tif", pixels_per_degree=128, large_crater=False)
    grid = HeightGrid.from_geotiff(path)
    lag = 4
    bend = grid.height_m[lag:-lag] - 0.5 * (grid.height_m[2 * lag :] + grid.height_m[: -2 * lag])
    slope_deg = math.degrees(math.atan(float(bend.std()) / (lag * grid.spacing_m)))
    # Differential slope at 1 km: 1 degree in maria to 6 in highlands (Rosenburg et al. 2011).
    assert 1.5 < slope_deg < 6.0


def test_craters_are_as_deep_as_measured() -> None:
    # Pike (1977): depth 0.196 D^1.01 km for simple, 1.044 D^0.301 km for complex craters.
    for diameter_km, depth_m in ((1.0, 196.0), (10.0, 2006.0), (87.0, 4003.0)):
        rim = profile_m(1.0 - 1e-12, diameter_km * 1e3, 0.0)
        floor = min(profile_m(r, diameter_km * 1e3, 0.0) for r in np.linspace(0.0, 0.9, 50))
        assert rim - floor == pytest.approx(depth_m, rel=0.01)
        assert profile_m(1.0, diameter_km * 1e3, 0.0) == pytest.approx(rim, rel=1e-6)
        assert profile_m(2.6, diameter_km * 1e3, 0.0) == 0.0


def test_crater_densities_are_the_published_ones() -> None:
    # Neukum et al. (2001): 8.38e-4 craters of 1 km and more per km2 and Gyr.
    assert production_per_km2(1.0, 1.0) == pytest.approx(8.2e-4, rel=0.05)
    assert equilibrium_per_km2(0.1) == pytest.approx(7.94, rel=0.01)
    assert density_per_km2(0.05, 3.5) == equilibrium_per_km2(0.05)
    assert density_per_km2(2.0, 3.5) == production_per_km2(2.0, 3.5)


def test_a_named_site_is_the_same_every_time_and_covers_its_region(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> Path:
        return named_site(tmp_path / name, "atlas", seed=seed, pixels_per_degree=16)

    first = made("a.tif", 1)
    assert first.read_bytes() == made("b.tif", 1).read_bytes()
    assert first.read_bytes() != made("c.tif", 2).read_bytes()
    with rasterio.open(first) as source:
        assert source.bounds == pytest.approx((37.0, 42.0, 53.0, 52.0))
        assert source.dtypes[0] == "int16" and source.crs.is_geographic


def test_a_named_site_of_an_unusable_density_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixels_per_degree must be 8 to 512"):
        named_site(tmp_path / "site.tif", "atlas", pixels_per_degree=0)
