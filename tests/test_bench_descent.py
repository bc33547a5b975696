"""What the bench of descents measures with, on cases whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.descent import (
    dead_reckoned,
    largest_change,
    marched_m,
    mounting,
    plot,
    profile,
    read_files,
    rim_crossings_s,
    steps,
    without_noise,
)
from tests.simulated import small_map
from tests.test_simulate_render import camera_above, terrain_of
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.dataset import Request, simulate
from trn.simulate.range_finder import LASER, footprint_surface
from trn.simulate.scenario import parse_scenario, scenario_names, scenario_path


def test_the_march_finds_a_sphere_where_geometry_says() -> None:
    pose = camera_above(9e3, 30.0)
    rays = Rotation.from_quat(pose.quaternion_xyzw).inv().apply(LASER.rays()[0])
    surface = footprint_surface(
        terrain_of(np.full((256, 256), 200.0)), LASER, pose.position_m, rays
    )
    along = rays @ pose.position_m
    inside = along**2 - pose.position_m @ pose.position_m + (REFERENCE_RADIUS_M + 200.0) ** 2
    expected = -along - np.sqrt(inside)
    assert np.abs(marched_m(surface, pose.position_m, rays) - expected).max() < 0.01
    assert np.isnan(marched_m(surface, pose.position_m, -rays)).all()


def test_the_largest_change_is_within_its_window() -> None:
    time_s = np.arange(0.0, 100.0)
    values = np.where(time_s < 50.0, 0.0, np.minimum((time_s - 50.0) * 10.0, 300.0))
    change, at_s = largest_change(time_s, values, 20.0)
    assert (change, at_s) == (200.0, 50.0)
    assert largest_change(time_s, values, 1000.0)[0] == 300.0


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_can_be_flown_without_noise(name: str) -> None:
    text = without_noise(scenario_path(name).read_text(encoding="utf-8"))
    scenario = parse_scenario(text, name)
    assert scenario.imu.grade == "perfect"
    assert scenario.altimeter.noise_m == scenario.altimeter.dropouts == 0.0
    assert scenario.faults.always == []


def test_a_dataset_is_read_back_and_its_motion_closes(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The last minute of HAKUTO-R's descent, far smaller: files in, numbers and a plot out."""
    text = scenario_path("hakuto-r-m1").read_text(encoding="utf-8")
    for old, new in (
        ("coast_s = 4000.0", "coast_s = 0.0"),
        ("latitude_deg = 47.581", "latitude_deg = 46.9"),
        ("[camera]", "[camera]\nwidth = 64\nheight = 64"),
    ):
        text = text.replace(old, new)
    moon_map = small_map(tmp_path_factory.getbasetemp())
    request = Request(without_noise(text), Path("small.toml"), moon_map, 0, (), 360.0)
    files = read_files(simulate(request, tmp_path / "dataset"))
    row = files.row(float(files.frames_s[0]))
    assert files.truth_s[row] == pytest.approx(files.frames_s[0])
    with pytest.raises(SystemExit, match="no row"):
        files.row(-1.0)
    motion = dead_reckoned(files)
    assert motion["worst position m"] < 0.01
    assert motion["energy relative"] < 1e-4
    below = profile(files)
    height = np.linalg.norm(below["position_m"], axis=1) - REFERENCE_RADIUS_M
    assert np.allclose(below["altitude_m"] + below["ground_m"], height)
    boresight = mounting(files.sensors["cam0"]["T_BS"]).inv().apply([0.0, 0.0, 1.0])
    tilt = math.radians(40.0)
    assert boresight == pytest.approx([-math.sin(tilt), 0.0, -math.cos(tilt)])
    found = steps(files)
    assert found["range m"] > 100.0
    assert rim_crossings_s(below) == []
    plot(tmp_path / "profile.png", files, found)
    assert (tmp_path / "profile.png").stat().st_size > 10_000
