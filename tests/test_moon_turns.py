"""Compiled turns are SciPy's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.moon.turns import turn_between, turned

angles = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array)
shares = st.sampled_from([0.0, 1e-13, 1e-9, 1e-4, 0.1, 1.0])


@settings(deadline=None)  # The first call compiles.
@given(angles, angles, shares)
def test_a_turn_is_scipys(start, angle, share):
    rotation = Rotation.from_rotvec(start).as_matrix()
    expected = Rotation.from_rotvec(share * angle).as_matrix() @ rotation
    np.testing.assert_allclose(turned(rotation, share * angle), expected, atol=1e-12)


@settings(deadline=None)  # The first call compiles.
@given(angles, angles, shares)
def test_the_turn_between_two_is_the_one_that_was_made(start, angle, share):
    angle = share * angle * min(1.0, 3.0 / max(float(np.linalg.norm(angle)), 1e-9))
    assert float(np.linalg.norm(angle)) < math.pi
    rotation = Rotation.from_rotvec(start).as_matrix()
    np.testing.assert_allclose(turn_between(rotation, turned(rotation, angle)), angle, atol=1e-12)
