"""An accelerometer's step is called from fixes that draw away with the square of time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.navigation.accelerometer_watch import AccelerometerWatch
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE
from trn.navigation.state import ACCELEROMETER_BIAS, SIZE, VELOCITY, NavigationState

Array = NDArray[np.float64]

FIX_SIGMA_M = 15.0
FADES_S = 12.0
SPEED_SIGMA, BIAS_SIGMA = 0.3, 5e-4
SECONDS = 40
PLACE = np.array([0.6, 0.48, 0.64]) * (REFERENCE_RADIUS_M + 10_000.0)


def state_at(time_s: float, off_m: Array, off_m_per_s: Array) -> NavigationState:
    """A hovering lander's state, so much off."""
    covariance = np.zeros((SIZE, SIZE))
    covariance[VELOCITY, VELOCITY] = SPEED_SIGMA**2 * np.eye(3)
    covariance[ACCELEROMETER_BIAS, ACCELEROMETER_BIAS] = BIAS_SIGMA**2 * np.eye(3)
    return NavigationState(
        time_s, PLACE + off_m, off_m_per_s.copy(), np.eye(3), np.zeros(3), np.zeros(3),
        np.zeros(3), 0.0, np.zeros(3), covariance,
    )  # fmt: skip


def called_after_s(
    seed: int, step_m_per_s2: float, follow: float = 0.0, louder: float = 1.0
) -> float | None:
    """Seconds from the step, which comes after twelve, until it is called; None for never.

    The state is off by an honest velocity, then moves off. follow: share by which each fix moves
    it, position and velocity, as a filter would. louder: errors of fixes in their stated sigma.
    """
    rng = np.random.default_rng(seed)
    watch = AccelerometerWatch()
    covariance = FIX_SIGMA_M**2 * np.eye(3)
    direction = rng.normal(size=3)
    push = step_m_per_s2 * direction / np.linalg.norm(direction)
    off, speed = rng.normal(0.0, 5.0, 3), rng.normal(0.0, SPEED_SIGMA, 3)
    shared, constant = rng.normal(size=(2, 3))
    keep = math.exp(-1.0 / FADES_S)
    for second in range(SECONDS):
        before = state_at(float(second), off, speed)
        shared = keep * shared + math.sqrt(1.0 - keep**2) * rng.normal(size=3)
        error = math.sqrt(ALL_SHARE) * constant + math.sqrt(VIEW_SHARE) * shared
        error += math.sqrt(1.0 - VIEW_SHARE - ALL_SHARE) * rng.normal(size=3)
        fix_m = PLACE + louder * FIX_SIGMA_M * error
        pull = follow * (fix_m - before.position_m)
        off, speed = off + pull, speed + 0.01 * pull
        if watch.stepped(fix_m, covariance, FADES_S, before, state_at(float(second), off, speed)):
            return float(second - 12)
        acting = push if second >= 12 else np.zeros(3)
        off, speed = off + speed + 0.5 * acting, speed + acting
    return None


@pytest.mark.parametrize("follow", [0.0, 0.1, 0.3])
def test_healthy_accelerometers_are_not_called_wrong(follow: float) -> None:
    assert [called_after_s(seed, 0.0, follow) for seed in range(60)] == [None] * 60


def test_fixes_that_err_three_times_as_much_as_they_say_are_no_step() -> None:
    called = [called_after_s(seed, 0.0, 0.1, louder=3.0) for seed in range(60)]
    assert sum(after is not None for after in called) <= 1


@pytest.mark.parametrize(("step_m_per_s2", "within_s"), [(0.5, 27.0), (1.0, 18.0), (4.0, 9.0)])
@pytest.mark.parametrize("follow", [0.0, 0.2])
def test_a_step_is_called(step_m_per_s2: float, within_s: float, follow: float) -> None:
    for seed in range(20):
        after_s = called_after_s(seed, step_m_per_s2, follow)
        assert after_s is not None
        assert 0.0 < after_s <= within_s


def test_what_fixes_did_to_the_state_is_taken_off() -> None:
    """Whether the filter follows its fixes or not, the same track is judged."""
    for seed in range(10):
        left, followed = called_after_s(seed, 4.0, 0.0), called_after_s(seed, 4.0, 0.3)
        assert left is not None and followed is not None
        assert abs(left - followed) <= 1.0


def test_a_restart_forgets_the_track() -> None:
    rng = np.random.default_rng(0)
    watch = AccelerometerWatch()
    covariance = FIX_SIGMA_M**2 * np.eye(3)
    for second in range(30):
        if second % 6 == 0:
            watch.restart()
        off = np.array([0.5 * second**2, 0.0, 0.0])
        state = state_at(float(second), off, np.zeros(3))
        fix_m = PLACE + rng.normal(0.0, 0.1, 3)
        called = watch.stepped(fix_m, covariance, FADES_S, state, state)
        assert not (called and second % 6 < 3)


def test_a_fix_older_than_the_last_one_is_left_out() -> None:
    watch = AccelerometerWatch()
    covariance = FIX_SIGMA_M**2 * np.eye(3)
    for second in (0.0, 1.0, 2.0, 3.0, 4.0):
        state = state_at(second, np.zeros(3), np.zeros(3))
        assert not watch.stepped(PLACE, covariance, FADES_S, state, state)
    far = state_at(3.5, np.full(3, 1e5), np.zeros(3))
    assert not watch.stepped(PLACE, covariance, FADES_S, far, far)
