"""The state is corrected by its errors, and tells them back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from trn.moon.pose import Pose
from trn.navigation.state import (
    ATTITUDE,
    POSITION,
    SIZE,
    TERRAIN,
    NavigationState,
    rotation_vector,
)


def some_state() -> NavigationState:
    return NavigationState(
        3.0,
        np.array([1.2e6, -0.9e6, 0.8e6]),
        np.array([900.0, 300.0, -20.0]),
        Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(),
        np.array([1e-3, 2e-3, -1e-3]),
        np.array([1e-6, -2e-6, 3e-6]),
        np.array([1e-5, 0.0, -1e-5]),
        2.5,
        np.array([0.3, -0.2, 0.1, 0.5, 0.0, -0.4]),
        np.eye(SIZE),
    )


@given(error=arrays(float, SIZE, elements=st.floats(-0.5, 0.5)))
def test_the_error_of_an_estimate_is_what_corrects_it(error: np.ndarray) -> None:
    estimate, truth = some_state(), some_state()
    truth.correct(error)
    assert truth.error_of(estimate) == pytest.approx(error, abs=1e-9)


def test_no_error_changes_nothing() -> None:
    state = some_state()
    state.correct(np.zeros(SIZE))
    assert not np.any(state.error_of(some_state()))


def test_a_correction_is_that_of_a_pose() -> None:
    """A turn about vehicle axes after the attitude, a shift in MOON_ME."""
    state = some_state()
    error = np.zeros(SIZE)
    error[POSITION], error[ATTITUDE] = [5.0, -6.0, 7.0], [0.01, -0.02, 0.03]
    pose = Pose(state.position_m, state.quaternion_xyzw).moved(error[POSITION], error[ATTITUDE])
    state.correct(error)
    assert state.position_m == pytest.approx(pose.position_m)
    assert state.rotation == pytest.approx(pose.rotation_body_to_camera(), abs=1e-15)


def test_the_quaternion_is_the_attitude_with_its_scalar_not_negative() -> None:
    state = some_state()
    assert Rotation.from_quat(state.quaternion_xyzw).as_matrix() == pytest.approx(state.rotation)
    assert state.quaternion_xyzw[3] >= 0.0


def test_a_copy_shares_nothing() -> None:
    state = some_state()
    twin = state.copy()
    twin.position_m += 1.0
    twin.rotation[:] = 0.0
    twin.covariance[POSITION, POSITION] = 7.0
    twin.covariance[TERRAIN, TERRAIN] = 7.0
    for array in (twin.velocity_m_per_s, twin.accelerometer_bias, twin.gyroscope_bias):
        array += 1.0
    twin.mounting_rad += 1.0
    untouched = some_state()
    assert not np.any(state.error_of(untouched))
    assert np.array_equal(state.covariance, untouched.covariance)


@given(turn=arrays(float, 3, elements=st.floats(-1.8, 1.8)))
def test_a_rotation_vector_is_what_scipy_says(turn: np.ndarray) -> None:
    rotation = Rotation.from_rotvec(turn)
    assert rotation_vector(rotation.as_matrix()) == pytest.approx(rotation.as_rotvec(), abs=1e-8)
