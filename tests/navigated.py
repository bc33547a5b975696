"""A flown descent with its sensors, and filters started on it, for the tests of trn.navigation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from trn.navigation.filter import MapErrorModel, NavigationFilter
from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.navigation.state import ATTITUDE, POSITION, VELOCITY, NavigationState
from trn.simulate.descent import DescentPlan, fly_descent
from trn.simulate.imu import PRESETS, Imu
from trn.simulate.star_tracker import TYPICAL
from trn.simulate.vehicle import Flight, fly_attitude

RATE_HZ = 50.0
STEP_S = 1.0 / RATE_HZ
TERRAIN = MapErrorModel(sigma_m=5.0, length_m=500.0, view_length_m=0.0)
STAR_TRACKER = StarTrackerModel(TYPICAL.across_rad, TYPICAL.roll_rad, TYPICAL.mounting_rad)


@lru_cache
def flight() -> Flight:
    """From 15 km and orbital speed to touchdown, some 400 s."""
    plan = DescentPlan(np.deg2rad(47.58), np.deg2rad(44.09), -2000.0, np.deg2rad(60.0))
    return fly_attitude(fly_descent(plan, rate_hz=2.0 * RATE_HZ))


def imu_model(unit: Imu) -> ImuModel:
    """What the filter is told of a unit: its data sheet."""
    force, rate = unit.accelerometer, unit.gyroscope
    return ImuModel(
        RATE_HZ, rate.noise, rate.bias_walk, rate.bias, force.noise, force.bias_walk, force.bias,
        rate.scale, rate.misalignment_rad, force.scale, force.misalignment_rad,
    )  # fmt: skip


@dataclass(eq=False)
class Navigated:
    """Inertial data of a flight from sample `first`, star tracker readings, and a filter there."""

    filter: NavigationFilter
    rates: np.ndarray
    forces: np.ndarray
    stars: np.ndarray
    rng: np.random.Generator


def navigated(
    grade: str,
    seed: int,
    first: int = 0,
    position_sigma_m: float = 100.0,
    velocity_sigma_m_per_s: float = 0.5,
) -> Navigated:
    """A flight with sensors of a grade; the start's errors drawn as the filter is told."""
    flown, rng = flight(), np.random.default_rng([seed, 7])
    forces, rates = PRESETS[grade].measured(
        flown.specific_force_m_per_s2[first:], flown.angular_rate_rad_per_s[first:], STEP_S, seed
    )
    stars = TYPICAL.measured(flown.quaternion_xyzw[first:], seed)
    started = NavigationFilter.started(
        float(flown.time_s[first]),
        flown.position_m[first] + rng.normal(0.0, position_sigma_m, 3),
        position_sigma_m,
        flown.velocity_m_per_s[first] + rng.normal(0.0, velocity_sigma_m_per_s, 3),
        velocity_sigma_m_per_s,
        stars[0],
        imu_model(PRESETS[grade]),
        STAR_TRACKER,
        TERRAIN.sigma_m,
    )
    return Navigated(started, rates, forces, stars, rng)


def nees(state: NavigationState, sample: int) -> np.ndarray:
    """Normalised squared errors of position, velocity, attitude at a sample, per degree of freedom.

    Shape (3,).
    """
    flown = flight()
    turn = Rotation.from_quat(flown.quaternion_xyzw[sample]).as_matrix() @ state.rotation.T
    errors = (
        (POSITION, flown.position_m[sample] - state.position_m),
        (VELOCITY, flown.velocity_m_per_s[sample] - state.velocity_m_per_s),
        (ATTITUDE, Rotation.from_matrix(turn).as_rotvec()),
    )
    return np.array(
        [error @ np.linalg.solve(state.covariance[part, part], error) / 3 for part, error in errors]
    )
