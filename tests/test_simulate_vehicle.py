"""The attitude follows the thrust, and its inertial sensors feel what brings it there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trn.errors import InputError
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration
from trn.simulate.descent import DescentPlan, Trajectory, fly_descent
from trn.simulate.vehicle import Flight, fly_attitude, mounted

PLAN = DescentPlan(np.deg2rad(47.58), np.deg2rad(44.09), -2000.0, np.deg2rad(354.0), coast_s=100.0)


@pytest.fixture(scope="module")
def trajectory() -> Trajectory:
    return fly_descent(PLAN, rate_hz=100.0)


@pytest.fixture(scope="module")
def flight(trajectory: Trajectory) -> Flight:
    return fly_attitude(trajectory)


def test_integrating_the_noise_free_imu_gives_the_trajectory_back(flight: Flight) -> None:
    step = float(flight.time_s[1])
    place, speed = flight.position_m[0].copy(), flight.velocity_m_per_s[0].copy()
    attitude = Rotation.from_quat(flight.quaternion_xyzw[0])
    spin = np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
    worst = 0.0
    for k in range(flight.time_s.size - 1):
        # Strapdown mechanisation in the rotating frame, attitude taken at the step's middle.
        rate = flight.angular_rate_rad_per_s[k] - attitude.apply(spin)
        middle = Rotation.from_rotvec(-0.5 * step * rate) * attitude
        push = middle.inv().apply(flight.specific_force_m_per_s2[k])
        fall = apparent_acceleration(place + 0.5 * step * speed, speed)
        faster = speed + step * (push + fall)
        place = place + 0.5 * step * (speed + faster)
        speed, attitude = faster, Rotation.from_rotvec(-step * rate) * attitude
        worst = max(worst, float(np.linalg.norm(place - flight.position_m[k + 1])))
    assert worst < 0.1
    turned = attitude * Rotation.from_quat(flight.quaternion_xyzw[-1]).inv()
    assert np.degrees(turned.magnitude()) < 1e-3


def test_the_z_axis_is_the_thrust_where_it_is_steady(
    trajectory: Trajectory, flight: Flight
) -> None:
    force = trajectory.specific_force_m_per_s2[::2][: flight.time_s.size]
    for name, least in (("braking", 0.9999), ("vertical", 0.9999)):
        index = np.flatnonzero(flight.phase == name)
        index = index[int(0.3 * index.size) : int(0.7 * index.size)]
        axis = Rotation.from_quat(flight.quaternion_xyzw[index]).inv().apply([0.0, 0.0, 1.0])
        wanted = force[index] / np.linalg.norm(force[index], axis=1, keepdims=True)
        assert np.sum(axis * wanted, axis=1).min() > least


def test_it_coasts_against_its_velocity_and_feels_nothing(flight: Flight) -> None:
    coasting = np.flatnonzero(flight.phase == "coast")[:-2000]
    axis = Rotation.from_quat(flight.quaternion_xyzw[coasting]).inv().apply([0.0, 0.0, 1.0])
    speed = np.linalg.norm(flight.velocity_m_per_s[coasting], axis=1, keepdims=True)
    backwards = -flight.velocity_m_per_s[coasting] / speed
    assert np.sum(axis * backwards, axis=1).min() > 0.9999
    assert np.abs(flight.specific_force_m_per_s2[coasting]).max() < 1e-6


def test_it_never_turns_faster_than_a_lander_can(flight: Flight) -> None:
    assert np.degrees(np.linalg.norm(flight.angular_rate_rad_per_s, axis=1)).max() < 8.0


def test_quaternions_do_not_jump_in_sign(flight: Flight) -> None:
    assert np.sum(flight.quaternion_xyzw[1:] * flight.quaternion_xyzw[:-1], axis=1).min() > 0.99


def test_between_samples_position_is_that_of_the_trajectory(
    trajectory: Trajectory, flight: Flight
) -> None:
    for k in range(1, trajectory.time_s.size, 4001):
        position, velocity, _ = flight.at(float(trajectory.time_s[k]))
        assert np.linalg.norm(position - trajectory.position_m[k]) < 1e-4
        assert np.linalg.norm(velocity - trajectory.velocity_m_per_s[k]) < 0.05


def test_a_side_mounting_looks_down_in_level_flight_and_the_image_top_ahead(
    flight: Flight,
) -> None:
    k = int(np.flatnonzero(flight.phase == "braking")[2000])
    attitude = Rotation.from_quat(flight.quaternion_xyzw[k])
    camera = (mounted(np.deg2rad(90.0)) * attitude).as_matrix()
    up = flight.position_m[k] / np.linalg.norm(flight.position_m[k])
    ahead = flight.velocity_m_per_s[k] / np.linalg.norm(flight.velocity_m_per_s[k])
    assert camera[2] @ up < -0.99
    assert camera[1] @ ahead < -0.99
    assert np.linalg.det(camera) == pytest.approx(1.0)


def test_a_flight_through_the_centre_has_no_attitude() -> None:
    time_s = np.arange(0.0, 1.0, 0.01)
    up = np.array([0.0, 0.0, 1.0])
    drop = Trajectory(
        time_s,
        (1.8e6 - 10.0 * time_s[:, None]) * up,
        np.tile(-10.0 * up, (time_s.size, 1)),
        np.tile(up, (time_s.size, 1)),
        np.full(time_s.size, 1.0),
        np.full(time_s.size, "given"),
        1.0,
    )
    with pytest.raises(InputError, match="trajectory"):
        fly_attitude(drop)
    short = dataclasses.replace(drop, time_s=time_s[:3])
    with pytest.raises(InputError, match="longer"):
        fly_attitude(short)
