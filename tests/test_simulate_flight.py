"""Flights end over the true ground; trajectory files come from the scenario's own folder."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from tests.simulated import SMALL
from tests.test_simulate_render import hills, terrain_of
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import geographic_from_position, position_from_geographic
from trn.simulate.flight import fly, ground_height_m
from trn.simulate.scenario import MOST_DURATION_S, Scenario, parse_scenario
from trn.simulate.terrain import ReliefSettings

TERRAIN = terrain_of(hills(), ReliefSettings())
SITE_DEG = (40.0, 20.0)


def scenario(**trajectory: object) -> Scenario:
    """The small descent to the middle of the hills, or another trajectory there."""
    table = tomli_w.dumps({"trajectory": trajectory or {"heading_deg": 30.0}})
    text = SMALL.replace('[trajectory]\nkind = "descent"\nheading_deg = 30.0\n', table)
    for old, new in zip(("46.5", "44.5"), map(str, SITE_DEG), strict=True):
        text = text.replace(old, new)
    return parse_scenario(text, "small.toml")


def level_flight(path: Path, duration_s: float, rows: int = 6) -> Path:
    """A CSV of level flight along a meridian, 10 km up."""
    time_s = np.linspace(0.0, duration_s, rows)
    latitude = math.radians(40.0) + 1000.0 * time_s / REFERENCE_RADIUS_M
    position = position_from_geographic(latitude, np.full(rows, math.radians(20.0)), 10e3)
    table = np.column_stack([time_s, position])
    np.savetxt(path, table, "%.6f", delimiter=",", header="time_s,x_m,y_m,z_m", comments="")
    return path


def test_the_ground_has_relief_down_to_a_step() -> None:
    bare = terrain_of(hills(), ReliefSettings(0.0, 0.0))
    rough, smooth = (
        np.array([ground_height_m(ground, 40.0, 20.0 + k * 1e-4) for k in range(12)])
        for ground in (TERRAIN, bare)
    )
    # Three metres apart: the map is a plane there, the true ground is not.
    assert np.abs(np.diff(smooth, 2)).max() < 0.05
    assert 0.05 < np.abs(np.diff(rough, 2)).max() < 10.0


def test_a_descent_ends_on_the_true_ground_of_its_site(tmp_path: Path) -> None:
    flight = fly(scenario(), TERRAIN, tmp_path)
    assert flight.time_s[1] - flight.time_s[0] == pytest.approx(1.0 / 50.0)
    latitude, longitude, height = geographic_from_position(flight.position_m[-1])
    assert math.degrees(latitude) == pytest.approx(SITE_DEG[0], abs=1e-5)
    assert math.degrees(longitude) == pytest.approx(SITE_DEG[1], abs=1e-5)
    assert height - ground_height_m(TERRAIN, *SITE_DEG) == pytest.approx(0.0, abs=0.2)


def test_a_trajectory_file_is_flown(tmp_path: Path) -> None:
    file = level_flight(tmp_path / "level.csv", 5.0)
    flight = fly(scenario(kind="csv", file=file.name), TERRAIN, tmp_path)
    assert flight.time_s[-1] == pytest.approx(5.0, abs=0.05)
    assert set(flight.phase) == {"given"}
    height = np.linalg.norm(flight.position_m, axis=1) - REFERENCE_RADIUS_M
    assert height == pytest.approx(10e3, abs=1.0)


@pytest.mark.parametrize("name", ["../level.csv", "a/../../level.csv", "/etc/hostname"])
def test_a_file_outside_the_scenarios_folder_is_not_read(tmp_path: Path, name: str) -> None:
    level_flight(tmp_path / "level.csv", 5.0)
    folder = tmp_path / "scenario"
    folder.mkdir()
    with pytest.raises(InputError, match="leads out of the scenario's folder"):
        fly(scenario(kind="csv", file=name), TERRAIN, folder)


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    level_flight(tmp_path / "level.csv", 5.0)
    folder = tmp_path / "scenario"
    folder.mkdir()
    os.symlink(tmp_path / "level.csv", folder / "level.csv")
    with pytest.raises(InputError, match="leads out"):
        fly(scenario(kind="csv", file="level.csv"), TERRAIN, folder)
    spk = {"target": "LANDER", "begin_utc": "2025-01-01T00:00:00", "end_utc": "2025-01-01T01:00:00"}
    with pytest.raises(InputError, match="leads out"):
        fly(scenario(kind="spk", kernels=["../de440.bsp"], **spk), TERRAIN, folder)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        fly(scenario(kind="csv", file="none.csv"), TERRAIN, tmp_path)


def test_a_trajectory_without_end_is_refused(tmp_path: Path) -> None:
    small = scenario(kind="csv", file="long.csv")
    slow = small.model_copy(update={"imu": small.imu.model_copy(update={"rate_hz": 1.0})})
    level_flight(tmp_path / "long.csv", MOST_DURATION_S + 100.0, rows=2000)
    with pytest.raises(InputError, match="cut it to 20000 s"):
        fly(slow, TERRAIN, tmp_path)


def test_a_phase_of_no_length_is_left_out(tmp_path: Path) -> None:
    flight = fly(
        scenario(heading_deg=30.0, vertical_altitude_m=20.0, touchdown_altitude_m=20.0),
        TERRAIN,
        tmp_path,
    )
    assert list(dict.fromkeys(flight.phase)) == ["braking", "approach", "touchdown"]


def test_a_descent_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="periapsis_height_m is not above the gate"):
        fly(scenario(heading_deg=30.0, gate_altitude_m=30e3), TERRAIN, tmp_path)
