"""The sliding window of readings: what is kept, taken, turned away and forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cliff import ALTIMETER, Flight, honest_belief
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.profile import LONGEST, LONGEST_TEST, SLOTS
from trn.altimetry.terrain import MapRanges
from trn.altimetry.window import Window

RANGE_M = 3_000.0


def add(window: Window, ranges: MapRanges, time_s: float) -> None:
    """A reading that is what was expected."""
    belief = honest_belief(Flight(), time_s, np.zeros(3))
    expected = ExpectedRange(np.array([RANGE_M]), np.ones(1), np.array([10.0]))
    window.move(belief)
    down = belief.rotation.T @ ALTIMETER.boresights()[0]
    window.add(belief, down, RANGE_M, expected, 1.0, ranges.below(belief.position_m))


def filled(ranges: MapRanges, taken: list[bool]) -> Window:
    """Readings 0.1 s apart from 0 on, some of which were taken."""
    window = Window(ranges, ALTIMETER)
    for k, each in enumerate(taken):
        add(window, ranges, 0.1 * k)
        window.readings[-1].accepted = each
    return window


def times(window: Window) -> list[float]:
    return [round(reading.time_s, 1) for reading in window.readings]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), max_size=LONGEST + 3 * LONGEST_TEST))
def test_it_holds_what_comparison_and_test_need_and_every_reading_has_its_own_slot(
    cliff: MapRanges, taken: list[bool]
) -> None:
    window = filled(cliff, taken)
    assert len(window.readings) < SLOTS
    slots = [reading.slot for reading in window.readings]
    assert len(set(slots)) == len(slots)
    # The last readings, and of earlier ones the last that were taken.
    kept = set(times(window))
    last = [round(0.1 * k, 1) for k in range(len(taken))][-LONGEST_TEST:]
    compared = [round(0.1 * k, 1) for k, each in enumerate(taken) if each][-LONGEST + 1 :]
    assert kept >= set(last) | set(compared)


def test_the_ground_passed_is_counted(cliff: MapRanges) -> None:
    window = filled(cliff, [True] * 11)
    passed_m = window.readings[-1].distance_m - window.readings[0].distance_m
    assert passed_m == pytest.approx(Flight().speed_m_per_s * 1.0, rel=1e-6)


def test_a_fault_takes_back_what_was_taken_since_it_began(cliff: MapRanges) -> None:
    window = filled(cliff, [True] * 6)
    window.faulty_since(0.25)
    assert [reading.accepted for reading in window.readings] == [True] * 3 + [False] * 3


def test_what_is_taken_under_suspicion_is_no_comparison_until_suspicion_has_gone(
    cliff: MapRanges,
) -> None:
    window = filled(cliff, [True, True, False, False])
    add(window, cliff, 0.4)
    window.take_last(doubtful=True)
    assert times(window) == [0.0, 0.1, 0.4]
    assert [reading.compared for reading in window.readings] == [True, True, False]
    add(window, cliff, 0.5)
    window.take_last(doubtful=False)
    assert all(reading.compared for reading in window.readings)


def test_when_a_fault_has_ended_its_readings_are_dropped_and_the_last_is_still_to_be_judged(
    cliff: MapRanges,
) -> None:
    window = filled(cliff, [True, False, False, False, False])
    window.fault_ended(3, doubtful=False)
    assert times(window) == [0.0, 0.3, 0.4]
    assert [reading.accepted for reading in window.readings] == [True, True, False]


def test_what_the_map_or_the_navigation_did_is_left_out_of_the_unexplained(
    cliff: MapRanges,
) -> None:
    window = filled(cliff, [True, False, False])
    window.readings[1].explained = True
    assert [round(each.time_s, 1) for each in window.unexplained()] == [0.0, 0.2]


def test_a_witness_started_anew_moves_where_readings_were_taken(cliff: MapRanges) -> None:
    window = filled(cliff, [True, True])
    before = [reading.witness_m.copy() for reading in window.readings]
    window.shift_witness(np.array([3.0, -2.0, 1.0]))
    for reading, old in zip(window.readings, before, strict=True):
        assert reading.witness_m - old == pytest.approx([3.0, -2.0, 1.0])
