"""The filter is as sure of itself as it may be, and each aid moves it the right way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from tests.navigated import (
    STAR_TRACKER,
    STEP_S,
    TERRAIN,
    Navigated,
    flight,
    navigated,
    nees,
)
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE, Innovation, NavigationFilter
from trn.navigation.state import (
    ACCELEROMETER_BIAS,
    ATTITUDE,
    FIX_ERROR,
    GYROSCOPE_BIAS,
    MOUNTING,
    POSITION,
    SIZE,
    VELOCITY,
    NavigationState,
)
from trn.navigation.state import TERRAIN as TERRAIN_ERROR
from trn.replay.onboard import GAP_ACCELERATION_M_PER_S2, GAP_RATE_RAD_PER_S

SEEDS = 12
FIX_SIGMA_M = 10.0
FIX_COVARIANCE = FIX_SIGMA_M**2 * np.eye(3)
GRADES = ["navigation", "tactical"]
HALF_SECOND = round(0.5 / STEP_S)
NOTHING = np.zeros(3)
GROUND_RADIUS_M = REFERENCE_RADIUS_M - 2000.0


def fly(flown: Navigated, first: int, end: int) -> None:
    """Carry the filter over samples of its flight."""
    flown.filter.propagate(flown.rates[first:end], flown.forces[first:end], STEP_S, TERRAIN)


def fix(flown: Navigated, sample: int, lasting: np.ndarray = NOTHING) -> Innovation:
    """Give the filter a fix at a sample; lasting: (3,), what all fixes share, in its own sigma."""
    own = math.sqrt(1.0 - ALL_SHARE) * flown.rng.normal(size=3)
    off = FIX_SIGMA_M * (math.sqrt(ALL_SHARE) * lasting + own)
    return flown.filter.update_position(flight().position_m[sample] + off, FIX_COVARIANCE)


# --- honesty -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Honesty:
    """Squares per degree of freedom: nees (seeds, times, 3), and of the aids (seeds, times)."""

    nees: np.ndarray
    stars: np.ndarray
    fixes: np.ndarray


@pytest.fixture(scope="module", params=GRADES)
def honesty(request: pytest.FixtureRequest) -> Honesty:
    """Descents with star tracker (2 Hz) and fixes (1 Hz), from seed to seed all errors anew."""
    errors: list[list[np.ndarray]] = []
    stars: list[list[float]] = []
    fixes: list[list[float]] = []
    for seed in range(SEEDS):
        flown = navigated(request.param, seed)
        lasting = flown.rng.normal(size=3)
        for found in (errors, stars, fixes):
            found.append([])
        for k in range(HALF_SECOND, len(flown.rates), HALF_SECOND):
            fly(flown, k - HALF_SECOND, k)
            if k % (10 * HALF_SECOND) == 0:
                errors[-1].append(nees(flown.filter.state, k))
            stars[-1].append(flown.filter.update_attitude(flown.stars[k]).nis / 3)
            if k % (2 * HALF_SECOND) == 0:
                fixes[-1].append(fix(flown, k, lasting).nis / 3)
    return Honesty(np.array(errors), np.array(stars), np.array(fixes))


def test_errors_are_as_large_as_stated(honesty: Honesty) -> None:
    """NEES per degree of freedom, mean over seeds and times, is one where all is modelled.

    12 seeds have 36 degrees of freedom at a time, and a flight some ten times that do not hang
    together: 1.5 is passed by chance less than once in a million. Scale and misalignment count as
    walks of bias and attitude, which errs to the safe side: it may be less than one, but no more
    than a factor of five, beyond which fixes would be wasted.
    """
    assert chi2.sf(1.5 * 360, 360) < 1e-6
    for part in range(3):
        assert 0.2 < honesty.nees[..., part].mean() < 1.5
    # Nor at any time of the flight: with 36 degrees of freedom, at some 80 times, each part.
    assert honesty.nees.mean(axis=0).max() < chi2.ppf(1.0 - 1e-6, 36) / 36


def test_fixes_surprise_as_much_as_stated(honesty: Honesty) -> None:
    """Innovations are white where the filter is right, so each fix counts anew."""
    freedom = 3 * honesty.fixes.size
    low, high = chi2.ppf([1e-5, 1.0 - 1e-5], freedom) / freedom
    assert low < honesty.fixes.mean() < high
    # So does the share of fixes beyond their own 99 % bound: binomial, four sigma.
    beyond = np.mean(3 * honesty.fixes > chi2.ppf(0.99, 3))
    assert abs(beyond - 0.01) < 4.0 * np.sqrt(0.01 * 0.99 / honesty.fixes.size)


def test_star_tracker_readings_surprise_no_more_than_stated(honesty: Honesty) -> None:
    """A tenth less is what the gyroscopes' misalignment, taken for a walk, costs."""
    freedom = 3 * honesty.stars.size
    assert 0.9 < honesty.stars.mean() < chi2.ppf(1.0 - 1e-5, freedom) / freedom
    # A gate at 1e-7 turns no right reading away.
    assert 3 * honesty.stars.max() < chi2.ppf(1.0 - 1e-7, 3)


@pytest.mark.parametrize("grade", GRADES)
def test_dead_reckoning_knows_how_far_it_drifts(grade: str) -> None:
    """Without fixes, after 200 s: a single time, so 12 seeds have 36 degrees of freedom."""
    found = []
    for seed in range(SEEDS):
        flown = navigated(grade, seed, position_sigma_m=10.0, velocity_sigma_m_per_s=0.1)
        for k in range(HALF_SECOND, 400 * HALF_SECOND + 1, HALF_SECOND):
            fly(flown, k - HALF_SECOND, k)
            flown.filter.update_attitude(flown.stars[k])
        found.append(nees(flown.filter.state, 400 * HALF_SECOND))
    low, high = chi2.ppf([1e-5, 1.0 - 1e-5], 36) / 36
    mean = np.mean(found, axis=0)
    assert np.all(mean > 0.2)
    assert np.all(mean < high), (low, mean)


def bridged(grade: str, seed: int, begin_s: float, gap_s: float, missed: np.ndarray) -> np.ndarray:
    """NEES right after a gap, and at each fix of the ten seconds after it, (11, 3).

    The filter has flown ten seconds with fixes before the gap, over which it holds the last sample.
    missed: (6,), rate and force that it holds too much.
    """
    begin, gap = round(begin_s / STEP_S), round(gap_s / STEP_S)
    flown, last = navigated(grade, seed, begin), 20 * HALF_SECOND
    lasting = flown.rng.normal(size=3)
    for k in range(HALF_SECOND, last + 1, HALF_SECOND):
        fly(flown, k - HALF_SECOND, k)
        flown.filter.update_attitude(flown.stars[k])
        fix_of(flown, begin, k, lasting)
    rates, forces = flown.rates[last - 1] + missed[:3], flown.forces[last - 1] + missed[3:]
    flown.filter.propagate(np.tile(rates, (gap, 1)), np.tile(forces, (gap, 1)), STEP_S, TERRAIN)
    flown.filter.widen(GAP_ACCELERATION_M_PER_S2 * gap_s, GAP_RATE_RAD_PER_S * gap_s, gap_s)
    found = [nees(flown.filter.state, begin + last + gap)]
    for k in range(last + gap + HALF_SECOND, last + gap + 20 * HALF_SECOND + 1, HALF_SECOND):
        fly(flown, k - HALF_SECOND, k)
        flown.filter.update_attitude(flown.stars[k])
        if fix_of(flown, begin, k, lasting):
            found.append(nees(flown.filter.state, begin + k))
    return np.array(found)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("begin_s", [60.0, 270.7], ids=["braking", "turning"])
def test_a_gap_of_two_seconds_is_bridged(grade: str, begin_s: float) -> None:
    """Under thrust, and where the lander turns fastest: NEES below 2, at once and after it."""
    none = np.zeros(6)
    found = [bridged(grade, seed, begin_s, 2.0, none) for seed in range(2 * SEEDS)]
    assert np.mean(found, axis=0).max() < 2.0


@pytest.mark.parametrize("gap_s", [2.0, 6.0])
def test_what_a_gap_leaves_unknown_is_as_large_as_stated(gap_s: float) -> None:
    """With an unknown acceleration and turn as they are supposed, NEES is one, in the gap's end.

    24 seeds have 72 degrees of freedom. The place goes with the speed: without that, six seconds
    would leave it some 20 m off by itself.
    """
    rng, found = np.random.default_rng(5), []
    for seed in range(2 * SEEDS):
        missed = rng.normal(size=6) * np.repeat([GAP_RATE_RAD_PER_S, GAP_ACCELERATION_M_PER_S2], 3)
        found.append(bridged("navigation", seed, 60.0, gap_s, missed))
    mean = np.mean(found, axis=0)
    low, high = chi2.ppf([1e-5, 1.0 - 1e-5], 72) / 72
    assert np.all(mean[0] > low)
    assert np.all(mean < high)


def fix_of(flown: Navigated, begin: int, k: int, lasting: np.ndarray) -> bool:
    """A fix each second of a flight that begins at a sample; whether there was one."""
    due = k % (2 * HALF_SECOND) == 0
    if due:
        fix(flown, begin + k, lasting)
    return due


# --- velocities that images show -----------------------------------------------------------------


def test_a_velocity_as_expected_leaves_the_state(flown: Navigated) -> None:
    state = flown.filter.state
    before = state.copy()
    innovation = flown.filter.update_velocity(
        state.velocity_m_per_s, np.eye(3), state.position_m, 5_000.0
    )
    assert np.abs(innovation.residual).max() < 1e-12
    assert unchanged(state, before)


def test_seen_from_higher_up_the_same_images_show_a_higher_velocity(flown: Navigated) -> None:
    """Taken for a place 50 m lower at 5 km of height: 1 % is added."""
    state = flown.filter.state
    up = state.position_m / np.linalg.norm(state.position_m)
    velocity = state.velocity_m_per_s.copy()
    innovation = flown.filter.velocity_innovation(
        velocity, np.eye(3), state.position_m - 50.0 * up, 5_000.0
    )
    assert innovation.residual == pytest.approx(0.01 * velocity, abs=1e-9)


def test_velocities_over_the_height_find_the_height() -> None:
    """No fix in the last 90 s: the height, 60 m uncertain, is known to a tenth of that at the end.

    And as well as stated, in 12 seeds (36 degrees of freedom).
    """
    first = len(flight().time_s) - round(92.0 / STEP_S)
    errors, found = [], []
    for seed in range(SEEDS):
        flown = navigated("navigation", seed, first, 60.0, 0.2)
        every = round(1.0 / STEP_S)
        for k in range(every, round(90.0 / STEP_S), every):
            began = flown.filter.state.position_m.copy()
            fly(flown, k - every, k - every // 2)
            before, after = flight().position_m[[first + k - every, first + k]]
            height_m = float(np.linalg.norm(before)) - GROUND_RADIUS_M
            up = before / np.linalg.norm(before)
            # Images place the ground from where the lander believes to be.
            longer = 1.0 + float(up @ (began - before)) / height_m
            velocity = longer * (after - before) + flown.rng.normal(0.0, 0.1, 3)
            flown.filter.update_velocity(
                velocity, 0.1**2 * np.eye(3), flown.filter.state.position_m.copy(), height_m
            )
            fly(flown, k - every // 2, k)
            flown.filter.update_attitude(flown.stars[k])
        state = flown.filter.state
        true = flight().position_m[first + k]
        up = true / np.linalg.norm(true)
        errors.append(float(up @ (state.position_m - true)))
        found.append(nees(state, first + k))
    assert np.sqrt(np.mean(np.square(errors))) < 6.0
    assert np.all(np.mean(found, axis=0) < chi2.ppf(1.0 - 1e-5, 36) / 36)


# --- star tracker --------------------------------------------------------------------------------


@pytest.fixture
def flown() -> Navigated:
    return navigated("navigation", seed=1)


def unchanged(state: NavigationState, before: NavigationState) -> bool:
    return bool(np.abs(state.error_of(before)).max() < 1e-12)


@settings(deadline=None, max_examples=20)
@given(mounting=st.tuples(*[st.floats(-1e-4, 1e-4)] * 3))
def test_a_reading_as_expected_leaves_the_state(mounting: tuple[float, ...]) -> None:
    flown = navigated("navigation", seed=1)
    state = flown.filter.state
    state.mounting_rad = np.array(mounting)
    before = state.copy()
    reading = Rotation.from_rotvec(mounting) * Rotation.from_matrix(state.rotation)
    innovation = flown.filter.update_attitude(reading.as_quat())
    assert np.abs(innovation.residual).max() < 1e-12
    assert unchanged(state, before)
    # The same attitude has two quaternions.
    flown.filter.update_attitude(-reading.as_quat())
    assert unchanged(state, before)


def test_a_turned_reading_turns_the_attitude_to_it(flown: Navigated) -> None:
    covariance = flown.filter.state.covariance
    covariance[ATTITUDE, :] = covariance[:, ATTITUDE] = 0.0
    covariance[ATTITUDE, ATTITUDE] = 1e-2**2 * np.eye(3)
    turn = np.array([2e-3, -3e-3, 4e-3])
    wanted = Rotation.from_rotvec(turn) * Rotation.from_matrix(flown.filter.state.rotation)
    flown.filter.update_attitude(wanted.as_quat())
    off = wanted * Rotation.from_matrix(flown.filter.state.rotation).inv()
    assert off.magnitude() < 1e-4


def test_the_first_reading_is_off_by_its_mounting(flown: Navigated) -> None:
    """Readings of one unit cannot tell its mounting: the attitude's sigma stays above it."""
    for _ in range(400):
        flown.filter.update_attitude(flown.stars[0])
    state = flown.filter.state
    sigma = np.sqrt(np.diag(state.covariance))
    assert np.all(sigma[ATTITUDE] > 0.9 * STAR_TRACKER.mounting_rad)
    assert np.all(sigma[MOUNTING] < 1.01 * STAR_TRACKER.mounting_rad)


# --- fixes and ranges ----------------------------------------------------------------------------


def test_a_sure_fix_puts_the_position_there(flown: Navigated) -> None:
    place = flown.filter.state.position_m + np.array([70.0, -40.0, 20.0])
    innovation = flown.filter.update_position(place, 0.01 * np.eye(3))
    assert innovation.residual == pytest.approx([70.0, -40.0, 20.0])
    assert flown.filter.state.position_m == pytest.approx(place, abs=0.01)
    assert np.sqrt(flown.filter.state.covariance[0, 0]) < 0.11


def test_an_innovation_alone_changes_nothing(flown: Navigated) -> None:
    before = flown.filter.state.copy()
    flown.filter.position_innovation(before.position_m + 50.0, FIX_COVARIANCE)
    flown.filter.attitude_innovation(flown.stars[5])
    assert unchanged(flown.filter.state, before)
    assert np.array_equal(flown.filter.state.covariance, before.covariance)


BORESIGHT = np.array([-0.3, 0.1, -0.95]) / np.linalg.norm([-0.3, 0.1, -0.95])


def range_to_plane(state: NavigationState, plane_m: np.ndarray) -> float:
    """Along a tilted beam to a level plane through a place, which the terrain raises."""
    up = plane_m / np.linalg.norm(plane_m)
    direction = state.rotation.T @ BORESIGHT
    height = float((state.position_m - plane_m) @ up) - state.terrain_m
    return -height / float(direction @ up)


@settings(deadline=None, max_examples=25)
@given(
    off=st.tuples(*[st.floats(-150.0, 150.0)] * 3),
    turn=st.tuples(*[st.floats(-2e-4, 2e-4)] * 3),
    terrain_m=st.floats(-10.0, 10.0),
)
def test_a_range_to_a_plane_moves_the_state_to_agree(
    off: tuple[float, ...], turn: tuple[float, ...], terrain_m: float
) -> None:
    """And no farther from the truth than it was, in its own measure."""
    each = navigated("navigation", seed=1, first=round(350.0 / STEP_S)).filter
    truth, error = each.state.copy(), np.zeros(SIZE)
    error[POSITION], error[ATTITUDE], error[TERRAIN_ERROR] = off, turn, terrain_m
    truth.correct(error)
    plane_m = truth.position_m * (1.0 - 1000.0 / np.linalg.norm(truth.position_m))
    jacobian = np.empty(SIZE)
    for k in range(SIZE):
        step = np.zeros(SIZE)
        step[k] = 1e-3
        more, less = each.state.copy(), each.state.copy()
        more.correct(step)
        less.correct(-step)
        jacobian[k] = (range_to_plane(more, plane_m) - range_to_plane(less, plane_m)) / 2e-3
    before = each.state.copy()
    residual_m = range_to_plane(truth, plane_m) - range_to_plane(before, plane_m)
    innovation = each.update_range(residual_m, jacobian, 0.01)
    assert innovation.residual[0] == residual_m
    left_m = range_to_plane(truth, plane_m) - range_to_plane(each.state, plane_m)
    assert abs(left_m) < 0.01 + 1e-2 * abs(residual_m)
    was = truth.error_of(before)
    now = truth.error_of(each.state)
    weight = np.linalg.inv(before.covariance)
    assert now @ weight @ now <= was @ weight @ was + 1e-3


# --- what is told otherwise ----------------------------------------------------------------------


def test_a_wrong_accelerometer_is_found_once_it_is_doubted() -> None:
    """A bias of 1 m/s^2 is a hundred times what the unit may have; fixes find it in 30 s."""
    wrong = np.array([0.0, 1.0, 0.0])
    trusting, doubting = navigated("tactical", seed=2), navigated("tactical", seed=2)
    doubting.filter.doubt_accelerometers(1.0, 6.0)
    off = []
    for flown in (trusting, doubting):
        flown.forces = flown.forces + wrong
        for k in range(HALF_SECOND, 60 * HALF_SECOND + 1, HALF_SECOND):
            fly(flown, k - HALF_SECOND, k)
            flown.filter.update_attitude(flown.stars[k])
            fix_of(flown, 0, k, NOTHING)
        off.append(np.linalg.norm(flown.filter.state.accelerometer_bias - wrong))
    assert off[0] > 0.1
    # The unit's own bias, some 0.01 m/s^2, is found with it.
    assert off[1] < 0.1
    assert nees(doubting.filter.state, 60 * HALF_SECOND).max() < chi2.ppf(1.0 - 1e-5, 3) / 3


def test_doubt_leaves_all_else_as_it_was(flown: Navigated) -> None:
    fly(flown, 0, 100)
    before = flown.filter.state.copy()
    flown.filter.doubt_accelerometers(0.5, 2.0)
    after = flown.filter.state.covariance
    assert unchanged(flown.filter.state, before)
    assert after[ACCELEROMETER_BIAS, ACCELEROMETER_BIAS] == pytest.approx(0.25 * np.eye(3))
    assert np.diag(after)[VELOCITY] == pytest.approx(np.diag(before.covariance)[VELOCITY] + 4.0)
    kept = np.r_[POSITION, ATTITUDE, GYROSCOPE_BIAS, MOUNTING, TERRAIN_ERROR]
    assert np.array_equal(after[np.ix_(kept, kept)], before.covariance[np.ix_(kept, kept)])


def test_a_reset_forgets_what_was_believed_of_the_place(flown: Navigated) -> None:
    fly(flown, 0, 100)
    place = flown.filter.state.position_m + 3000.0
    before = flown.filter.state.copy()
    flown.filter.reset_position(place, FIX_COVARIANCE, 2.0)
    state = flown.filter.state
    assert np.array_equal(state.position_m, place)
    assert np.array_equal(state.covariance[POSITION, POSITION], FIX_COVARIANCE)
    others = np.r_[VELOCITY, ATTITUDE, ACCELEROMETER_BIAS, GYROSCOPE_BIAS, MOUNTING, TERRAIN_ERROR]
    assert not np.any(state.covariance[POSITION][:, others])
    # The place is off by what the fix shares with the next ones, and by more.
    shared = state.covariance[POSITION, FIX_ERROR]
    assert shared @ shared.T == pytest.approx((VIEW_SHARE + ALL_SHARE) * FIX_COVARIANCE)
    assert (np.diag(shared[:, :3]) < 0.0).all()
    assert state.velocity_m_per_s == pytest.approx(before.velocity_m_per_s)
    widened = np.diag(state.covariance)[VELOCITY] - np.diag(before.covariance)[VELOCITY]
    assert widened == pytest.approx([4.0, 4.0, 4.0])


def test_a_move_shifts_and_widens(flown: Navigated) -> None:
    before = flown.filter.state.copy()
    flown.filter.move(np.array([1.0, 2.0, 3.0]), 4.0)
    assert flown.filter.state.position_m - before.position_m == pytest.approx([1.0, 2.0, 3.0])
    grown = np.diag(flown.filter.state.covariance - before.covariance)[POSITION]
    assert grown == pytest.approx([16.0, 16.0, 16.0])


def test_a_copy_goes_its_own_way(flown: Navigated) -> None:
    twin = flown.filter.copy()
    before = twin.state.copy()
    fly(flown, 0, 200)
    flown.filter.update_attitude(flown.stars[200])
    assert unchanged(twin.state, before)
    twin.propagate(flown.rates[:200], flown.forces[:200], STEP_S, TERRAIN)
    twin.update_attitude(flown.stars[200])
    assert unchanged(twin.state, flown.filter.state)
    assert np.array_equal(twin.state.covariance, flown.filter.state.covariance)


# --- the covariance ------------------------------------------------------------------------------


def do(each: NavigationFilter, name: str, size: float, flown: Navigated) -> None:
    """One operation; size: 1 sigma, or the size, of what it brings, over ten decades."""
    k = round(each.state.time_s / STEP_S) % 1000
    jacobian = np.zeros(SIZE)
    jacobian[POSITION] = each.state.position_m / np.linalg.norm(each.state.position_m)
    jacobian[ATTITUDE], jacobian[TERRAIN_ERROR] = [3000.0, -1000.0, 0.0], -1.0
    actions: dict[str, Any] = {
        "carry": lambda: each.propagate(
            flown.rates[k : k + 13], flown.forces[k : k + 13], STEP_S, TERRAIN
        ),
        "attitude": lambda: each.update_attitude(each.state.quaternion_xyzw),
        "position": lambda: each.update_position(each.state.position_m + size, size**2 * np.eye(3)),
        "range": lambda: each.update_range(size, jacobian, size**2),
        "widen": lambda: each.widen(1e-2 * size, 1e-5 * size),
        "move": lambda: each.move(np.full(3, size), size),
        "doubt": lambda: each.doubt_accelerometers(1e-2 * size, size),
        "reset": lambda: each.reset_position(each.state.position_m, size**2 * np.eye(3), size),
    }
    actions[name]()


NAMES = ["carry", "attitude", "position", "range", "widen", "move", "doubt", "reset"]


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(st.tuples(st.sampled_from(NAMES), st.floats(-3.0, 3.0)), min_size=1, max_size=40)
)
def test_the_covariance_stays_one(steps: list[tuple[str, float]]) -> None:
    """Symmetric and positive definite, whatever is done in whatever order."""
    flown = navigated("tactical", seed=4)
    each = flown.filter
    for name, power in steps:
        do(each, name, 10.0**power, flown)
        covariance = each.state.covariance
        sigma = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(sigma, sigma)
        assert np.abs(correlation - correlation.T).max() < 1e-9
        assert np.linalg.eigvalsh(0.5 * (correlation + correlation.T)).min() > 0.0, name
