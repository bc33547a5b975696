"""Turns of single quaternions are SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.moon.quaternions import (
    quaternion_product,
    rotation_of,
    turn_between_quaternions,
    turned_quaternion,
)

angles = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array)
shares = st.sampled_from([0.0, 1e-200, 1e-13, 1e-9, 1e-4, 0.1, 1.0])
lengths = st.sampled_from([-1.0, 0.5, 1.0])


@settings(deadline=None)  # The first call compiles.
@given(angles, angles, shares, lengths)
def test_a_turned_quaternion_is_scipys(start, angle, share, length):
    quaternion = length * Rotation.from_rotvec(start).as_quat()
    expected = Rotation.from_rotvec(share * angle) * Rotation.from_quat(quaternion)
    found = turned_quaternion(quaternion, share * angle)
    np.testing.assert_allclose(found, expected.as_quat(), atol=1e-14)


@settings(deadline=None)  # The first call compiles.
@given(angles, angles, shares, lengths)
def test_the_turn_between_two_quaternions_is_scipys(start, angle, share, length):
    first = Rotation.from_rotvec(start)
    second = Rotation.from_rotvec(share * angle) * first
    found = turn_between_quaternions(length * first.as_quat(), second.as_quat())
    expected = (second * first.inv()).as_rotvec()
    assert float(np.linalg.norm(found)) <= math.pi + 1e-12
    # Half a turn goes either way round.
    apart = Rotation.from_rotvec(found) * Rotation.from_rotvec(expected).inv()
    assert apart.magnitude() < 1e-12
    if float(np.linalg.norm(expected)) < math.pi - 1e-6:
        np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None)
@given(angles, st.floats(-3.0, 3.0).filter(lambda length: abs(length) > 1e-3))
def test_a_quaternion_s_matrix_is_scipys_whatever_its_length(start, length):
    attitude = Rotation.from_rotvec(start)
    found = rotation_of(length * attitude.as_quat())
    np.testing.assert_allclose(found, attitude.as_matrix(), atol=1e-15)


def test_a_quaternion_of_length_zero_is_no_attitude():
    with pytest.raises(ValueError, match="length 0"):
        rotation_of(np.zeros(4))


@settings(deadline=None)
@given(angles, angles)
def test_a_product_is_scipys(first, second):
    left, right = Rotation.from_rotvec(first), Rotation.from_rotvec(second)
    found = quaternion_product(left.as_quat(), right.as_quat())
    matrix = (left * right).as_matrix()
    np.testing.assert_allclose(rotation_of(found), matrix, atol=1e-14)
