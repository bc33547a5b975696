"""The filter that flew: right over gentle ground, locked out for good by a real cliff."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.altimetry.baseline import BaselineFilter, BaselineSettings

STEP_S = 0.1


def descend(
    baseline: BaselineFilter, ground_m: list[float], height_m: float, fall_m_per_s: float
) -> list[float]:
    """True altitudes, while the filter is fed exact data above ground; one height each reading."""
    truth = []
    for k, ground in enumerate(ground_m):
        if k:
            baseline.carry(-fall_m_per_s * STEP_S)
        true_m = height_m - fall_m_per_s * STEP_S * k - ground
        baseline.correct(k * STEP_S, true_m, 1.0)
        truth.append(true_m)
    return truth


def test_the_first_range_sets_the_altitude() -> None:
    baseline = BaselineFilter(0.0)
    baseline.correct(0.0, 8_000.0, 0.5)
    assert baseline.altitude_m == 4_000.0 and not baseline.locked_out


def test_it_follows_gentle_ground() -> None:
    baseline = BaselineFilter(0.0)
    ground = [60.0 * np.sin(0.02 * k) for k in range(600)]
    truth = descend(baseline, ground, 8_000.0, 50.0)
    assert not baseline.locked_out
    assert baseline.altitude_m == pytest.approx(truth[-1], abs=30.0)


def test_a_cliff_of_3_km_locks_it_out_and_it_believes_to_be_down_while_still_high_up() -> None:
    baseline = BaselineFilter(0.0)
    # 5 km above a plateau, 8 km above the floor beyond it.
    fall = 50.0
    ground = [3_000.0] * 100 + [0.0] * 100
    descend(baseline, ground, 8_000.0, fall)
    strikes = baseline.settings.strikes
    assert baseline.locked_out_at_s == pytest.approx((100 + strikes - 1) * STEP_S)
    true_m = 8_000.0 - fall * STEP_S * 199
    time_s = 199 * STEP_S
    while baseline.altitude_m > 0.0:
        baseline.carry(-fall * STEP_S)
        time_s, true_m = time_s + STEP_S, true_m - fall * STEP_S
        baseline.correct(time_s, true_m, 1.0)
    # As published: altitude zero is believed while the step's height is left.
    assert true_m == pytest.approx(3_000.0, abs=2.0 * fall * STEP_S)


def test_once_locked_out_it_never_lets_the_sensor_back_in() -> None:
    baseline = BaselineFilter(0.0)
    descend(baseline, [3_000.0] * 20 + [0.0] * 20, 8_000.0, 0.0)
    assert baseline.locked_out
    at_s, believed_m = baseline.locked_out_at_s, baseline.altitude_m
    for k in range(10_000):
        baseline.correct(10.0 + k * STEP_S, believed_m, 1.0)
    assert baseline.locked_out_at_s == at_s and baseline.altitude_m == believed_m


def test_fewer_strikes_than_it_takes_are_forgiven() -> None:
    settings = BaselineSettings(gate_m=300.0, strikes=5)
    baseline = BaselineFilter(0.0, settings)
    baseline.correct(0.0, 5_000.0, 1.0)
    for k in range(200):
        wrong = k % 5 != 4
        baseline.correct((k + 1) * STEP_S, 9_000.0 if wrong else 5_000.0, 1.0)
    assert not baseline.locked_out and baseline.altitude_m == 5_000.0


@given(
    altitude_m=st.floats(100, 10_000),
    off_m=st.floats(-290, 290),
    time_constant_s=st.floats(0.1, 10),
)
def test_within_the_gate_it_closes_in_with_its_time_constant(
    altitude_m: float, off_m: float, time_constant_s: float
) -> None:
    baseline = BaselineFilter(0.0, BaselineSettings(time_constant_s=time_constant_s))
    baseline.correct(0.0, altitude_m, 1.0)
    for k in range(1, 11):
        baseline.correct(k * STEP_S, altitude_m + off_m, 1.0)
    left = off_m * np.exp(-10 * STEP_S / time_constant_s)
    assert altitude_m + off_m - baseline.altitude_m == pytest.approx(left, abs=1e-6)
