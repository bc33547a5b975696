"""True ground is the map's plus what the map misses; a made region has an estimator's map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.simulated import SMALL, small_map
from trn.errors import InputError
from trn.maps.lunar_map import LunarMap
from trn.simulate import world
from trn.simulate.height_grid import HeightGrid
from trn.simulate.scenario import Scenario, parse_scenario
from trn.simulate.world import ESTIMATOR_HEIGHT_SIGMA_M, estimator_map, world_from_map

REGION_PIXELS_PER_DEGREE = 16


@pytest.fixture(scope="module")
def moon_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    return LunarMap.open(small_map(tmp_path_factory.mktemp("world")))


def scenario(**terrain: object) -> Scenario:
    small = parse_scenario(SMALL, "small")
    return small.model_copy(update={"terrain": small.terrain.model_copy(update=terrain)})


def test_what_the_map_misses_is_as_large_as_stated_and_has_no_bias(moon_map: LunarMap) -> None:
    plain = world_from_map(scenario(map_error_m=0.0), moon_map, 3).terrain.grid.height_m
    wrong = world_from_map(scenario(map_error_m=20.0), moon_map, 3).terrain.grid.height_m
    missed = wrong - plain
    assert missed.std() == pytest.approx(20.0, rel=0.1)
    assert abs(missed.mean()) < 2.0
    # It lies at a few pixels: neighbours share most of it, far places nothing.
    assert np.corrcoef(missed[:, 1:].ravel(), missed[:, :-1].ravel())[0, 1] > 0.5
    assert abs(np.corrcoef(missed[:, 16:].ravel(), missed[:, :-16].ravel())[0, 1]) < 0.15


def test_without_error_the_grid_is_the_map(moon_map: LunarMap) -> None:
    found = world_from_map(scenario(map_error_m=0.0), moon_map, 0)
    grid = found.terrain.grid
    rows = grid.latitude_deg + grid.step_latitude_deg * np.arange(5, 100, 20)
    columns = grid.longitude_deg + grid.step_longitude_deg * np.arange(5, 100, 20)
    expected = moon_map.height(rows[:, None], columns[None, :])
    assert grid.height_m[5:100:20, 5:100:20] == pytest.approx(expected, abs=0.01)
    assert found.map_name == moon_map.name
    assert found.map_sha256 == moon_map.manifest.files[moon_map.manifest.elevation.file].sha256


def test_the_same_seed_misses_the_same(moon_map: LunarMap) -> None:
    one, same, other = (world_from_map(scenario(), moon_map, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.terrain.grid.height_m, same.terrain.grid.height_m)
    assert not np.array_equal(one.terrain.grid.height_m, other.terrain.grid.height_m)


def test_the_scenario_sets_the_relief(moon_map: LunarMap) -> None:
    relief = world_from_map(scenario(fractal=0.5, craters=2.0), moon_map, 0).terrain.relief
    assert (relief.fractal, relief.craters) == (0.5, 2.0)


def test_a_map_without_the_site_is_named(moon_map: LunarMap) -> None:
    small = scenario()
    away = small.model_copy(update={"site": small.site.model_copy(update={"latitude_deg": -20.0})})
    with pytest.raises(InputError, match=r"site\.map.*: no height at the site"):
        world_from_map(away, moon_map, 0)


def test_the_estimators_map_of_a_made_region_is_coarser_and_noisy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "EMBEDDED_PIXELS_PER_DEGREE", REGION_PIXELS_PER_DEGREE)
    site = tmp_path / "site.tif"
    made = world.world_from_region(scenario(), site, 4)
    assert (made.map_name, made.map_sha256) == ("atlas", "")
    handed = estimator_map(site, tmp_path / "site.map", 4)
    truth = HeightGrid.from_geotiff(site)
    rows, columns = (side // 2 for side in truth.height_m.shape)
    means = truth.height_m[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3))
    latitude = truth.latitude_deg + truth.step_latitude_deg * (2 * np.arange(rows) + 0.5)
    longitude = truth.longitude_deg + truth.step_longitude_deg * (2 * np.arange(columns) + 0.5)
    off = handed.height(latitude[:, None], longitude[None, :]) - means
    assert off.std() == pytest.approx(ESTIMATOR_HEIGHT_SIGMA_M, rel=0.1)
    assert abs(off.mean()) < 1.0


def test_an_unknown_region_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="atlantis"):
        world.world_from_region(scenario(region="atlantis"), tmp_path / "site.tif", 0)
