"""Dead reckoning keeps to the flight as well as its start and samples are, and no better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.navigated import RATE_HZ, STEP_S, flight
from trn.navigation.dead_reckoning import DeadReckoning
from trn.navigation.state import SIZE, NavigationState

SPAN_S = 60.0
COUNT = round(SPAN_S * RATE_HZ)


def started(velocity_error: np.ndarray, turn: np.ndarray) -> DeadReckoning:
    flown = flight()
    rotation = Rotation.from_rotvec(turn) * Rotation.from_quat(flown.quaternion_xyzw[0])
    state = NavigationState(
        0.0,
        flown.position_m[0],
        flown.velocity_m_per_s[0] + velocity_error,
        rotation.as_matrix(),
        *np.zeros((3, 3)),
        0.0,
        np.zeros(3),
        np.zeros((SIZE, SIZE)),
    )
    return DeadReckoning(state)


def carried(reckoned: DeadReckoning) -> np.ndarray:
    """Position error after SPAN_S of noise-free samples."""
    flown = flight()
    reckoned.propagate(
        flown.angular_rate_rad_per_s[:COUNT], flown.specific_force_m_per_s2[:COUNT], STEP_S
    )
    return reckoned.position_m - flown.position_m[COUNT]


def test_perfect_samples_end_at_the_flights_end() -> None:
    assert np.abs(carried(started(np.zeros(3), np.zeros(3)))).max() < 0.05


def test_an_error_of_the_velocity_is_never_found_out() -> None:
    error = np.array([0.5, -1.0, 0.8])
    # Gravity's gradient adds some tenths of a percent in a minute.
    assert carried(started(error, np.zeros(3))) == pytest.approx(error * SPAN_S, rel=0.01)


def test_the_star_tracker_turns_it_right() -> None:
    askew = started(np.zeros(3), np.array([0.02, -0.01, 0.03]))
    assert np.linalg.norm(carried(askew)) > 50.0
    righted = started(np.zeros(3), np.array([0.02, -0.01, 0.03]))
    righted.turn_to(flight().quaternion_xyzw[0])
    assert np.linalg.norm(carried(righted)) < 0.05


def test_it_shares_nothing_with_the_state_it_started_from() -> None:
    flown = flight()
    before = flown.position_m[0].copy()
    carried(started(np.zeros(3), np.zeros(3)))
    assert (flown.position_m[0] == before).all()
