"""Ranges end on the ground that a brute-force march finds; noise is as stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.test_simulate_render import camera_above, hills, terrain_of
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.range_finder import (
    LASER,
    RADAR,
    RangeFinder,
    footprint_surface,
    measured,
    true_range,
)
from trn.simulate.terrain import ReliefSettings

TERRAIN = terrain_of(hills(), ReliefSettings())


def marched_m(
    surface: object, origin: np.ndarray, ray: np.ndarray, near_m: float, far_m: float
) -> float:
    """Brute force: fine steps until one is under the ground, then bisection. NumPy alone."""
    height_at = surface.height_at  # type: ignore[attr-defined]

    def above(t: np.ndarray) -> np.ndarray:
        points = origin + np.asarray(t)[..., None] * ray
        return np.linalg.norm(points, axis=-1) - REFERENCE_RADIUS_M - height_at(points)

    t = np.arange(near_m, far_m, 0.25)
    first = int(np.flatnonzero(above(t) <= 0.0)[0])
    low, high = t[first - 1], t[first]
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if above(np.array(middle)) > 0.0 else (low, middle)
    return float(high)


@pytest.mark.parametrize(("altitude", "tilt"), [(9e3, 0.0), (3e3, 40.0), (400.0, 25.0)])
def test_the_noise_free_range_is_that_of_a_brute_force_march(altitude: float, tilt: float) -> None:
    pose = camera_above(altitude, tilt, 70.0)
    to_beam = Rotation.from_quat(pose.quaternion_xyzw)
    reading, spread = true_range(TERRAIN, LASER, pose.position_m, to_beam)
    rays, weights = LASER.rays()
    directions = to_beam.inv().apply(rays)
    surface = footprint_surface(TERRAIN, LASER, pose.position_m, directions)
    marched = np.array(
        [
            marched_m(surface, pose.position_m, ray, reading - 300.0, reading + 300.0)
            for ray in directions
        ]
    )
    assert reading == pytest.approx(float(weights @ marched), abs=0.1)
    assert spread == pytest.approx(
        math.sqrt(float(weights @ (marched - weights @ marched) ** 2)), abs=0.1
    )


def test_the_footprint_sees_detail_that_the_map_does_not_hold() -> None:
    bare = terrain_of(hills(), ReliefSettings(0.0, 0.0))
    differences = []
    for heading in range(0, 360, 30):
        pose = camera_above(2000.0, 20.0, float(heading))
        to_beam = Rotation.from_quat(pose.quaternion_xyzw)
        with_relief, _ = true_range(TERRAIN, LASER, pose.position_m, to_beam)
        without, _ = true_range(bare, LASER, pose.position_m, to_beam)
        differences.append(with_relief - without)
    assert 0.3 < np.std(differences) < 100.0


def test_a_radar_reads_the_nearest_ground_of_its_wide_beam() -> None:
    pose = camera_above(3000.0, 5.0)
    to_beam = Rotation.from_quat(pose.quaternion_xyzw)
    first, _ = true_range(TERRAIN, RADAR, pose.position_m, to_beam)
    surface = footprint_surface(
        TERRAIN, RADAR, pose.position_m, to_beam.inv().apply(RADAR.rays()[0])
    )
    ranges = surface.ranges_m(pose.position_m, to_beam.inv().apply(RADAR.rays()[0]))
    assert ranges.min() <= first < np.median(ranges)


def test_no_echo_from_the_sky_or_beyond_the_range() -> None:
    pose = camera_above(3000.0, 0.0)
    up = Rotation.from_euler("x", 180.0, degrees=True) * Rotation.from_quat(pose.quaternion_xyzw)
    assert math.isnan(true_range(TERRAIN, LASER, pose.position_m, up)[0])
    far = camera_above(60e3, 0.0)
    to_beam = Rotation.from_quat(far.quaternion_xyzw)
    assert math.isnan(true_range(TERRAIN, LASER, far.position_m, to_beam)[0])


def test_noise_is_as_stated_and_the_same_for_a_seed() -> None:
    finder = RangeFinder(noise_m=0.3, noise_of_range=1e-4, noise_of_spread=0.5, dropouts=0.1)
    time_s = np.arange(20_000) / 10.0
    ranges, spreads = np.full(time_s.size, 4000.0), np.full(time_s.size, 1.2)
    record = measured(finder, time_s, ranges, spreads, seed=4)
    sigma = math.sqrt(0.3**2 + 0.4**2 + 0.6**2)
    error = record.range_m[record.valid] - 4000.0
    assert error.std() == pytest.approx(sigma, rel=0.03)
    assert abs(error.mean()) < 4.0 * sigma / math.sqrt(error.size)
    assert 1.0 - record.valid.mean() == pytest.approx(0.1, abs=0.01)
    assert np.all(record.range_m[~record.valid] == 0.0)
    assert np.allclose(record.range_m / 0.01, np.round(record.range_m / 0.01), atol=1e-5)
    again = measured(finder, time_s, ranges, spreads, seed=4)
    assert np.array_equal(again.range_m, record.range_m)


def test_without_an_echo_there_is_no_reading() -> None:
    record = measured(LASER, np.arange(3.0), np.full(3, np.nan), np.full(3, np.nan), 0)
    assert not record.valid.any() and np.all(record.range_m == 0.0)


@pytest.mark.parametrize(
    "changes",
    [{"beam_rad": 0.0}, {"noise_m": -1.0}, {"rings": 0}, {"minimum_range_m": 1e6}, {"dropouts": 2}],
)
def test_impossible_instruments_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="altimeter"):
        RangeFinder(**changes)  # type: ignore[arg-type]
