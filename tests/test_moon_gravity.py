"""Gravity is the gradient of its potential; free fall keeps its energy in the rotating frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import position_from_geographic
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration, gravity, potential


@given(
    latitude=st.floats(-1.57, 1.57), longitude=st.floats(-3.14, 3.14), height_m=st.floats(0, 2e5)
)
def test_gravity_is_the_gradient_of_the_potential(
    latitude: float, longitude: float, height_m: float
) -> None:
    place = position_from_geographic(latitude, longitude, height_m)
    step = 100.0
    numeric = [
        (potential(place + step * axis) - potential(place - step * axis)) / (2 * step)
        for axis in np.eye(3)
    ]
    assert gravity(place) == pytest.approx(np.array(numeric), abs=1e-7)


def test_surface_gravity_is_the_published_one() -> None:
    """1.62 m/s^2 (Moon Fact Sheet, NASA NSSDCA); less at the poles at the same radius."""
    equator = gravity(np.array([REFERENCE_RADIUS_M, 0.0, 0.0]))
    pole = gravity(np.array([0.0, 0.0, REFERENCE_RADIUS_M]))
    assert np.linalg.norm(equator) == pytest.approx(1.624, abs=0.002)
    assert np.linalg.norm(pole) < np.linalg.norm(equator)


def test_many_places_at_once_are_as_one_by_one() -> None:
    places = position_from_geographic(
        np.linspace(-1, 1, 5), np.linspace(0, 3, 5), np.linspace(0, 1e5, 5)
    )
    together = gravity(places)
    assert together == pytest.approx(np.array([gravity(place) for place in places]), rel=1e-12)


def test_free_fall_keeps_the_jacobi_energy() -> None:
    """One low orbit in the rotating frame; the field turns with the frame, so v^2/2 - U - (wr)^2/2
    stays."""
    place = position_from_geographic(0.2, 0.4, 50e3)
    start = np.concatenate([place, np.cross([0.3, -0.2, 1.0], place)])
    start[3:] *= 1650.0 / np.linalg.norm(start[3:])

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        return np.concatenate([state[3:], apparent_acceleration(state[:3], state[3:])])

    path = solve_ivp(rate, (0, 6800), start, method="DOP853", rtol=1e-11, atol=1e-6).y.T
    energy = (
        0.5 * (path[:, 3:] ** 2).sum(axis=1)
        - potential(path[:, :3])
        - 0.5 * ROTATION_RATE_RAD_PER_S**2 * (path[:, :2] ** 2).sum(axis=1)
    )
    assert np.ptp(energy) < 1e-3
