"""The strapdown kernels integrate the motion, and carry its errors as the motion itself does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from tests.navigated import STEP_S, flight
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration
from trn.navigation.state import ATTITUDE, POSITION, SIZE, TERRAIN, VELOCITY, NavigationState
from trn.navigation.strapdown import carry, free_fall
from trn.simulate.imu import PERFECT

LENGTH_M = 400.0
VIEW_M = 3000.0

ERROR_SIZES = [*np.repeat([100.0, 1.0, 1e-4, 1e-3, 1e-4, 1e-4], 3).tolist(), 1.0, *[1.0] * 6]
"""Steps of the differences, large enough for the digits of a place on the Moon."""


def directions() -> st.SearchStrategy[np.ndarray]:
    return arrays(float, 3, elements=st.floats(-1.0, 1.0)).filter(
        lambda v: float(np.linalg.norm(v)) > 0.1
    )


# The first call compiles.
@settings(deadline=None)
@given(
    direction=directions(),
    height_m=st.floats(-5e3, 2e5),
    speed=directions(),
    fast=st.floats(0, 2e3),
)
def test_free_fall_is_apparent_acceleration(
    direction: np.ndarray, height_m: float, speed: np.ndarray, fast: float
) -> None:
    place = (REFERENCE_RADIUS_M + height_m) * direction / np.linalg.norm(direction)
    out = np.empty(3)
    free_fall(place, fast * speed, out)
    assert out == pytest.approx(apparent_acceleration(place, fast * speed), rel=1e-12, abs=1e-14)


# --- errors --------------------------------------------------------------------------------------


def moving_state() -> NavigationState:
    return NavigationState(
        0.0,
        1.75e6 * np.array([0.6, 0.48, 0.64]),
        np.array([-900.0, 1200.0, 40.0]),
        Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix(),
        np.zeros(3), np.zeros(3), np.zeros(3), 0.0, np.zeros(6), np.eye(SIZE),
    )  # fmt: skip


RATES = np.tile([0.02, -0.05, 0.01], (5, 1))
FORCES = np.tile([0.5, -0.3, 4.0], (5, 1))


def carried(state: NavigationState) -> NavigationState:
    """The state after the samples, with its own biases taken off, and what is shared kept."""
    after = state.copy()
    after.covariance, keep, seen = carry(
        after.position_m, after.velocity_m_per_s, after.rotation, after.covariance,
        RATES - state.gyroscope_bias, FORCES - state.accelerometer_bias, STEP_S, LENGTH_M,
        VIEW_M,
    )  # fmt: skip
    after.terrain_m *= keep
    after.fix_error = after.fix_error * np.repeat([seen, 1.0], 3)
    return after


@pytest.mark.parametrize("index", range(SIZE))
def test_the_covariance_moves_as_small_errors_of_the_state_do(index: int) -> None:
    error = np.zeros(SIZE)
    error[index] = ERROR_SIZES[index]
    plus, minus = moving_state(), moving_state()
    plus.correct(error)
    minus.correct(-error)
    by_difference = carried(plus).error_of(carried(minus)) / (2.0 * error[index])
    state = moving_state()
    state.covariance = np.zeros((SIZE, SIZE))
    state.covariance[index, index] = 1.0
    spread = carried(state).covariance
    # The spread of one error is the product of the transition's column with itself.
    column = spread[:, index] / np.sqrt(spread[index, index])
    assert spread == pytest.approx(np.outer(column, column), rel=1e-9, abs=1e-18)
    sizes = np.array(ERROR_SIZES)
    # One per cent of each share, or one in a million of an error's usual size.
    assert column / sizes * sizes[index] == pytest.approx(
        by_difference / sizes * sizes[index], rel=1e-2, abs=1e-6
    )


def test_the_terrain_is_forgotten_over_the_ground_passed() -> None:
    state = moving_state()
    state.terrain_m = 3.0
    passed_m = float(np.linalg.norm(state.velocity_m_per_s)) * STEP_S * len(RATES)
    assert carried(state).terrain_m == pytest.approx(3.0 * np.exp(-passed_m / LENGTH_M), rel=1e-3)


def test_what_views_share_is_forgotten_over_the_ground_passed_and_what_all_share_is_not() -> None:
    state = moving_state()
    state.fix_error = np.array([1.0, -2.0, 0.5, 1.0, -2.0, 0.5])
    passed_m = float(np.linalg.norm(state.velocity_m_per_s)) * STEP_S * len(RATES)
    kept = state.fix_error * np.repeat([np.exp(-passed_m / VIEW_M), 1.0], 3)
    assert carried(state).fix_error == pytest.approx(kept, rel=1e-3)


# --- motion --------------------------------------------------------------------------------------


def flown_again(first: int, end: int, chunk: int) -> tuple[float, float, float]:
    """Errors of position, velocity and attitude after perfect inertial data of part of a flight."""
    flown = flight()
    forces, rates = PERFECT.measured(
        flown.specific_force_m_per_s2[first:end],
        flown.angular_rate_rad_per_s[first:end],
        STEP_S,
        seed=0,
    )
    place, speed = flown.position_m[first].copy(), flown.velocity_m_per_s[first].copy()
    rotation = Rotation.from_quat(flown.quaternion_xyzw[first]).as_matrix()
    covariance = np.eye(SIZE)
    for k in range(0, end - first, chunk):
        part = slice(k, min(k + chunk, end - first))
        carry(
            place, speed, rotation, covariance, rates[part], forces[part], STEP_S, LENGTH_M, VIEW_M
        )
    turned = Rotation.from_matrix(rotation) * Rotation.from_quat(flown.quaternion_xyzw[end]).inv()
    return (
        float(np.linalg.norm(place - flown.position_m[end])),
        float(np.linalg.norm(speed - flown.velocity_m_per_s[end])),
        float(turned.magnitude()),
    )


@pytest.mark.parametrize("chunk", [1, 5])
@pytest.mark.parametrize("begin_s", [0.0, 280.0], ids=["braking", "approach"])
def test_noise_free_data_give_the_trajectory_back(begin_s: float, chunk: int) -> None:
    first = round(begin_s / STEP_S)
    off_m, off_m_per_s, off_rad = flown_again(first, first + round(100.0 / STEP_S), chunk)
    assert off_m < 0.1
    assert off_m_per_s < 2e-3
    assert off_rad < 1e-6


def test_a_lander_at_rest_on_the_ground_stays_there() -> None:
    """It feels the ground's push and the Moon's turn, and neither moves nor turns."""
    place = np.array([0.6, 0.48, 0.64]) * REFERENCE_RADIUS_M
    speed, rotation = np.zeros(3), Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    push = rotation @ -apparent_acceleration(place, speed)
    spin = rotation @ np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S])
    carried_place, carried_rotation = place.copy(), rotation.copy()
    for _ in range(600):
        carry(
            carried_place, speed, carried_rotation, np.eye(SIZE),
            np.tile(spin, (5, 1)), np.tile(push, (5, 1)), STEP_S, LENGTH_M, VIEW_M,
        )  # fmt: skip
    assert carried_place == pytest.approx(place, abs=1e-5)
    assert speed == pytest.approx(np.zeros(3), abs=1e-6)
    assert carried_rotation == pytest.approx(rotation, abs=1e-11)


def test_the_layout_is_that_of_the_kernels() -> None:
    """The kernels count on this order of the errors."""
    assert (POSITION.start, VELOCITY.start, ATTITUDE.start, TERRAIN, SIZE) == (0, 3, 6, 18, 25)
