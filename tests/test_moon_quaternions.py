"""Turns of single quaternions are SciPy's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.moon.quaternions import turn_between_quaternions, turned_quaternion

angles = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array)
shares = st.sampled_from([0.0, 1e-200, 1e-13, 1e-9, 1e-4, 0.1, 1.0])
lengths = st.sampled_from([-1.0, 0.5, 1.0])


@given(angles, angles, shares, lengths)
def test_a_turned_quaternion_is_scipys(start, angle, share, length):
    quaternion = length * Rotation.from_rotvec(start).as_quat()
    expected = Rotation.from_rotvec(share * angle) * Rotation.from_quat(quaternion)
    found = turned_quaternion(quaternion, share * angle)
    np.testing.assert_allclose(found, expected.as_quat(), atol=1e-14)


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
