"""On board, a fix counts at its exposure, however late it comes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.navigated import STEP_S, Navigated, flight, navigated
from tests.simulated import small_map
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.terrain import MapRanges
from trn.backend.cpu import CpuBackend
from trn.maps.lunar_map import LunarMap
from trn.navigation.delayed import HISTORY_S
from trn.navigation.state import SIZE
from trn.replay.onboard import Onboard

FIRST = round(240.0 / STEP_S)
"""In the braking, at 300 m/s over the ground of the map."""
SECOND = round(1.0 / STEP_S)
FIX_SIGMA_M = 10.0
FIX_COVARIANCE = FIX_SIGMA_M**2 * np.eye(3)
ALTIMETER = AltimeterModel(
    10.0, 1e-3, "mean", 0.5, 8000.0, 0.3, 1e-3, 1.0, 0.1, 0.01, 0.0, (Rotation.identity(),)
)

Start = Callable[[], tuple[Onboard, Navigated]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts the same flight on board anew."""
    moon_map = LunarMap.open(small_map(tmp_path_factory.mktemp("map")))

    def started() -> tuple[Onboard, Navigated]:
        flown = navigated("navigation", seed=1, first=FIRST, position_sigma_m=50.0)
        ranges = MapRanges(moon_map, CpuBackend())
        return Onboard(ranges, ALTIMETER, flown.filter), flown

    return started


def fly(onboard: Onboard, flown: Navigated, first: int, end: int) -> None:
    onboard.propagate(flown.rates[first:end], flown.forces[first:end], STEP_S)


def fix_of(sample: int) -> np.ndarray:
    """A fix of a sample of the flight, some metres off."""
    off = FIX_SIGMA_M * np.random.default_rng(sample).normal(size=3)
    return flight().position_m[FIRST + sample] + off


def second_s(number: int) -> float:
    return float(flight().time_s[FIRST + number * SECOND])


def test_late_fixes_leave_what_fixes_in_time_would(start: Start) -> None:
    """A second late, one each second, with a star tracker reading between.

    How long views overlap is worked out at the place believed when the fix comes: that differs.
    """
    (in_time, flown), (late, _) = start(), start()
    for number in range(8):
        begin, end = number * SECOND, (number + 1) * SECOND
        for onboard in (in_time, late):
            fly(onboard, flown, begin, end)
            assert onboard.attitude(flown.stars[end])
        if number > 0:
            judged = late.fix(fix_of(begin), FIX_COVARIANCE, second_s(number))
            assert judged.accepted
        assert in_time.fix(fix_of(end), FIX_COVARIANCE).accepted
    late.fix(fix_of(8 * SECOND), FIX_COVARIANCE)
    for name in ("navigation", "full", "witness"):
        one, other = getattr(in_time, name).state, getattr(late, name).state
        assert one.error_of(other) == pytest.approx(np.zeros(SIZE), abs=0.05), name
    assert late.alarms == in_time.alarms == []


def test_told_as_of_now_the_same_fix_is_turned_away(start: Start) -> None:
    """So much does the flight's second matter."""
    onboard, flown = start()
    fly(onboard, flown, 0, SECOND)
    assert onboard.fix(fix_of(SECOND), FIX_COVARIANCE).accepted
    fly(onboard, flown, SECOND, 4 * SECOND)
    before = onboard.navigation.state.copy()
    assert not onboard.fix(fix_of(2 * SECOND), FIX_COVARIANCE).accepted
    assert not np.any(onboard.navigation.state.error_of(before))
    assert onboard.fix(fix_of(2 * SECOND), FIX_COVARIANCE, second_s(2)).accepted


def test_the_belief_of_an_exposure_is_that_of_its_time(start: Start) -> None:
    onboard, flown = start()
    fly(onboard, flown, 0, 2 * SECOND)
    then = onboard.belief()
    fly(onboard, flown, 2 * SECOND, 5 * SECOND)
    again = onboard.belief(second_s(2))
    assert again.time_s == pytest.approx(then.time_s)
    assert again.position_m == pytest.approx(then.position_m, abs=1e-6)
    assert again.witness_m == pytest.approx(then.witness_m, abs=1e-6)
    assert again.covariance == pytest.approx(then.covariance)
    assert again.unaided_s == pytest.approx(then.unaided_s)


def test_less_than_half_an_inertial_step_ago_is_now(start: Start) -> None:
    (plain, flown), (stamped, _) = start(), start()
    for onboard in (plain, stamped):
        fly(onboard, flown, 0, SECOND)
    plain.fix(fix_of(SECOND), FIX_COVARIANCE)
    stamped.fix(fix_of(SECOND), FIX_COVARIANCE, second_s(1) - 0.4 * STEP_S)
    assert not np.any(plain.navigation.state.error_of(stamped.navigation.state))


def test_an_older_fix_than_is_remembered_is_an_error(start: Start) -> None:
    onboard, flown = start()
    for number in range(12):
        fly(onboard, flown, number * SECOND, (number + 1) * SECOND)
    with pytest.raises(ValueError, match="before what the filter remembers"):
        onboard.fix(fix_of(SECOND), FIX_COVARIANCE, second_s(12) - HISTORY_S - 1.0)


def test_a_displaced_state_is_moved_to_late_fixes_at_their_time(start: Start) -> None:
    """Fixes half a second late agree that the navigated state is 3 km off, the witness not."""
    onboard, flown = start()
    half = SECOND // 2
    for number in range(12):
        begin = number * SECOND
        fly(onboard, flown, begin, begin + half)
        if number == 5:
            onboard.displace(np.array([2000.0, -1500.0, 1600.0]))
        if number > 0:
            onboard.fix(fix_of(begin), FIX_COVARIANCE, second_s(number))
        fly(onboard, flown, begin + half, begin + SECOND)
        onboard.attitude(flown.stars[begin + SECOND])
    off = onboard.navigation.state.position_m - flight().position_m[FIRST + 12 * SECOND]
    assert np.linalg.norm(off) < 40.0
    assert [alarm.kind for alarm in onboard.alarms] == ["navigation"]
