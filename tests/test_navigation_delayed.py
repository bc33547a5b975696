"""A late measurement leaves the filter as if it had come in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.navigated import STEP_S, TERRAIN, Navigated, flight, navigated
from trn.navigation.delayed import HISTORY_S, DelayedFilter
from trn.navigation.filter import NavigationFilter
from trn.navigation.state import (
    ACCELEROMETER_BIAS,
    ATTITUDE,
    GYROSCOPE_BIAS,
    MOUNTING,
    POSITION,
    SIZE,
    VELOCITY,
    NavigationState,
)
from trn.navigation.state import TERRAIN as TERRAIN_ERROR

FIX_COVARIANCE = np.diag([100.0, 150.0, 80.0])
Either = NavigationFilter | DelayedFilter


@pytest.fixture
def flown() -> Navigated:
    return navigated("tactical", seed=3)


def fly(each: Either, flown: Navigated, begin_s: float, end_s: float) -> None:
    """Carry over the flight's samples from a time to another; either may cut a sample."""
    first, last = round(begin_s / STEP_S - 0.499), round(end_s / STEP_S - 0.499)
    edges = np.unique(np.clip(np.arange(first, last + 2) * STEP_S, begin_s, end_s))
    if len(edges) < 2:
        return
    steps = np.diff(edges)
    whole = np.abs(steps - STEP_S) < 1e-9
    for run in np.split(np.arange(len(steps)), np.flatnonzero(np.diff(whole)) + 1):
        samples = slice(first + int(run[0]), first + int(run[-1]) + 1)
        step_s = STEP_S if whole[run[0]] else float(steps[run[0]])
        each.propagate(flown.rates[samples], flown.forces[samples], step_s, TERRAIN)


def fix_at(time_s: float) -> np.ndarray:
    """A fix that is some metres off, another way at each time."""
    off = 10.0 * np.sin(1.0 + 50.0 * time_s * np.arange(1, 4))
    return flight().at(time_s)[0] + off


def take_range(each: Either, time_s: float) -> None:
    """A range straight down, in the linear form that a flat ground gives it."""
    jacobian = np.zeros(SIZE)
    jacobian[POSITION] = flight().position_m[0] / np.linalg.norm(flight().position_m[0])
    jacobian[TERRAIN_ERROR] = -1.0
    measured_m = float(jacobian[POSITION] @ flight().at(time_s)[0]) + 2.0
    state = each.state
    expected_m = float(jacobian[POSITION] @ state.position_m) - state.terrain_m
    each.update_range(measured_m - expected_m, jacobian, 9.0)


def assert_same(late: NavigationState, in_time: NavigationState) -> None:
    """To one in 1e9 of each value and its sigma."""
    assert late.time_s == pytest.approx(in_time.time_s, abs=1e-9)
    sigma = np.sqrt(np.diag(in_time.covariance))
    assert np.abs(late.covariance / np.outer(sigma, sigma)
                  - in_time.covariance / np.outer(sigma, sigma)).max() < 1e-9  # fmt: skip
    parts = {
        "position_m": POSITION,
        "velocity_m_per_s": VELOCITY,
        "rotation": ATTITUDE,
        "accelerometer_bias": ACCELEROMETER_BIAS,
        "gyroscope_bias": GYROSCOPE_BIAS,
        "mounting_rad": MOUNTING,
        "terrain_m": TERRAIN_ERROR,
    }
    for name, part in parts.items():
        value = np.asarray(getattr(in_time, name))
        limit = 1e-9 * float(np.abs(value).max() + np.max(sigma[part]))
        assert np.abs(np.asarray(getattr(late, name)) - value).max() <= limit, name


def busy_second(each: Either, flown: Navigated, begin_s: float) -> None:
    """A second of flight with all that a filter is used for."""
    fly(each, flown, begin_s, begin_s + 0.3)
    each.update_attitude(flown.stars[round((begin_s + 0.3) / STEP_S)])
    take_range(each, begin_s + 0.3)
    fly(each, flown, begin_s + 0.3, begin_s + 0.6)
    each.widen(0.05, 1e-4)
    take_range(each, begin_s + 0.6)
    each.update_position(fix_at(begin_s + 0.6), FIX_COVARIANCE)
    fly(each, flown, begin_s + 0.6, begin_s + 1.0)


@pytest.mark.parametrize(
    "exposure_s",
    [0.3, 1.0, 1.3, 1.6],
    ids=["at a snapshot", "between seconds", "at a reading", "at an update"],
)
def test_a_fix_at_a_snapshot_is_as_if_in_time(flown: Navigated, exposure_s: float) -> None:
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    taken = None
    for second in range(3):
        busy_second(late, flown, float(second))
    innovation = late.update_position_at(exposure_s, fix_at(exposure_s), FIX_COVARIANCE)
    # In time: the fix comes after what is done at the same moment.
    for begin_s, end_s in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0), (1.0, 1.3), (1.3, 1.6), (1.6, 2.0),
                           (2.0, 2.3), (2.3, 2.6), (2.6, 3.0)):  # fmt: skip
        fly(in_time, flown, begin_s, end_s)
        if round(end_s % 1.0, 1) == 0.3:
            in_time.update_attitude(flown.stars[round(end_s / STEP_S)])
            take_range(in_time, end_s)
        if round(end_s % 1.0, 1) == 0.6:
            in_time.widen(0.05, 1e-4)
            take_range(in_time, end_s)
            in_time.update_position(fix_at(end_s), FIX_COVARIANCE)
        if end_s == exposure_s:
            taken = in_time.update_position(fix_at(end_s), FIX_COVARIANCE)
    assert taken is not None
    assert innovation.nis == pytest.approx(taken.nis, rel=1e-9)
    assert_same(late.state, in_time.state)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations([0.437, 1.2, 1.205, 1.333, 2.04]))
def test_late_fixes_may_come_in_any_order(order: list[float]) -> None:
    """In one long run of samples, which they cut between samples and within."""
    flown = navigated("tactical", seed=3)
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    fly(late, flown, 0.0, 3.0)
    for exposure_s in order:
        late.update_position_at(exposure_s, fix_at(exposure_s), FIX_COVARIANCE)
    begin_s = 0.0
    for exposure_s in sorted(order):
        fly(in_time, flown, begin_s, exposure_s)
        in_time.update_position(fix_at(exposure_s), FIX_COVARIANCE)
        begin_s = exposure_s
    fly(in_time, flown, begin_s, 3.0)
    assert_same(late.state, in_time.state)


def test_ranges_since_are_measured_again_not_corrected_twice(flown: Navigated) -> None:
    """A range's residual is against the state it met; a late fix moves that state under it."""
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    for each in (in_time, late):
        each.move(np.array([200.0, -100.0, 150.0]), 100.0)
        fly(each, flown, 0.0, 1.0)
    in_time.update_position(fix_at(1.0), FIX_COVARIANCE)
    for end_s in (1.5, 2.0, 2.5):
        for each in (in_time, late):
            fly(each, flown, end_s - 0.5, end_s)
            take_range(each, end_s)
    late.update_position_at(1.0, fix_at(1.0), FIX_COVARIANCE)
    assert_same(late.state, in_time.state)
    error = np.linalg.norm(late.state.position_m - flight().position_m[round(2.5 / STEP_S)])
    assert error < 30.0


def test_what_is_not_a_measurement_is_repeated_too(flown: Navigated) -> None:
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    fly(in_time, flown, 0.0, 1.0)
    in_time.update_position(fix_at(1.0), FIX_COVARIANCE)
    fly(in_time, flown, 1.0, 2.0)
    fly(late, flown, 0.0, 1.0)
    fly(late, flown, 1.0, 2.0)
    for each in (in_time, late):
        each.move(np.array([5.0, 6.0, -7.0]), 2.0)
        each.doubt_accelerometers(0.5, 1.0)
        fly(each, flown, 2.0, 2.5)
        each.reset_position(fix_at(2.5), FIX_COVARIANCE, 1.0)
        fly(each, flown, 2.5, 3.0)
    late.update_position_at(1.0, fix_at(1.0), FIX_COVARIANCE)
    assert_same(late.state, in_time.state)


def test_a_late_reset_is_at_its_own_time(flown: Navigated) -> None:
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    for each in (in_time, late):
        each.move(np.array([4000.0, 0.0, 0.0]), 0.0)
    fly(in_time, flown, 0.0, 1.31)
    in_time.reset_position(fix_at(1.31), FIX_COVARIANCE, 2.0)
    fly(in_time, flown, 1.31, 3.0)
    fly(late, flown, 0.0, 3.0)
    late.reset_position_at(1.31, fix_at(1.31), FIX_COVARIANCE, 2.0)
    assert_same(late.state, in_time.state)


def test_a_fix_of_now_is_an_update_of_now(flown: Navigated) -> None:
    in_time, late = flown.filter.copy(), DelayedFilter(flown.filter.copy())
    for each in (in_time, late):
        fly(each, flown, 0.0, 1.0)
    in_time.update_position(fix_at(1.0), FIX_COVARIANCE)
    late.update_position_at(1.0, fix_at(1.0), FIX_COVARIANCE)
    assert_same(late.state, in_time.state)
    # It is remembered as one, too.
    for each in (in_time, late):
        fly(each, flown, 1.0, 2.0)
    assert_same(late.state_at(1.0), late.copy().state_at(1.0))
    assert late.state_at(1.0).covariance[0, 0] < 120.0


# --- the past ------------------------------------------------------------------------------------


@pytest.mark.parametrize("time_s", [0.0, 0.6, 1.3, 0.437, 1.99, 3.0])
def test_the_state_of_a_time_is_what_it_then_was(flown: Navigated, time_s: float) -> None:
    late, then = DelayedFilter(flown.filter.copy()), flown.filter.copy()
    fly(late, flown, 0.0, 3.0)
    before = late.state.copy()
    fly(then, flown, 0.0, time_s)
    assert_same(late.state_at(time_s), then.state)
    assert_same(late.state, before)


def test_the_state_of_a_time_is_a_copy(flown: Navigated) -> None:
    late = DelayedFilter(flown.filter.copy())
    fly(late, flown, 0.0, 2.0)
    for time_s in (0.0, 0.5, 2.0):
        known = late.state_at(time_s).covariance.copy()
        told = late.state_at(time_s)
        told.covariance[:] = 0.0
        told.position_m += 1.0
        assert np.array_equal(late.state_at(time_s).covariance, known)


def test_copies_go_their_own_ways_from_the_same_past(flown: Navigated) -> None:
    late = DelayedFilter(flown.filter.copy())
    fly(late, flown, 0.0, 1.0)
    fly(late, flown, 1.0, 2.0)
    twin = late.copy()
    untouched = twin.state.copy()
    late.update_position_at(0.5, fix_at(0.5), FIX_COVARIANCE)
    late.update_attitude(flown.stars[100])
    assert_same(twin.state, untouched)
    twin.update_position_at(0.5, fix_at(0.5), FIX_COVARIANCE)
    twin.update_attitude(flown.stars[100])
    assert_same(twin.state, late.state)


def test_what_another_has_done_since_is_not_adopted(flown: Navigated) -> None:
    """From the same place on, by its own inertial samples and readings alone."""
    other, late = DelayedFilter(flown.filter.copy()), DelayedFilter(flown.filter.copy())
    for each in (other, late):
        fly(each, flown, 0.0, 1.3)
    other.update_position(fix_at(1.3), FIX_COVARIANCE)
    alone = other.copy()
    for each in (other, late, alone):
        fly(each, flown, 1.3, 2.0)
        each.update_attitude(flown.stars[round(2.0 / STEP_S)])
    other.move(np.array([3000.0, 0.0, 0.0]), 0.0)
    late.adopt_at(1.3, other)
    assert_same(late.state, alone.state)
    assert np.linalg.norm(other.state.position_m - alone.state.position_m) == pytest.approx(3000.0)


def test_only_the_history_is_remembered(flown: Navigated) -> None:
    late = DelayedFilter(flown.filter.copy())
    for second in range(15):
        fly(late, flown, float(second), second + 1.0)
    assert late.state_at(15.0 - HISTORY_S).time_s == pytest.approx(15.0 - HISTORY_S)
    for wrong_s in (15.0 - HISTORY_S - 0.1, 0.0):
        with pytest.raises(ValueError, match="before what the filter remembers"):
            late.state_at(wrong_s)
        with pytest.raises(ValueError, match="before what the filter remembers"):
            late.update_position_at(wrong_s, fix_at(1.0), FIX_COVARIANCE)
    assert len(late._legs) <= HISTORY_S + 1


def test_a_long_run_does_not_lengthen_the_history(flown: Navigated) -> None:
    late = DelayedFilter(flown.filter.copy())
    fly(late, flown, 0.0, 15.0)
    with pytest.raises(ValueError, match="before what the filter remembers"):
        late.state_at(1.0)


@pytest.mark.parametrize("time_s", [2.01, float("nan"), float("inf")])
def test_the_future_is_refused(flown: Navigated, time_s: float) -> None:
    late = DelayedFilter(flown.filter.copy())
    fly(late, flown, 0.0, 2.0)
    before = late.state.copy()
    with pytest.raises(ValueError, match="later than the filter"):
        late.update_position_at(time_s, fix_at(1.0), FIX_COVARIANCE)
    assert_same(late.state, before)


def test_before_its_start_a_filter_knows_nothing(flown: Navigated) -> None:
    late = DelayedFilter(flown.filter.copy())
    assert late.state_at(0.0).time_s == 0.0
    with pytest.raises(ValueError, match="before what the filter remembers"):
        late.state_at(-1.0)
