"""An altimeter that was blamed is suspected for a while, and shut out by nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trn.altimetry.suspicion import (
    FADES_S,
    PROBATION_PRIOR,
    RELAPSE_S,
    STANDING_PRIOR,
    UNSUSPECTED_PRIOR,
    Suspicion,
)


def test_nobody_is_suspected_at_first_nor_for_readings_taken() -> None:
    suspicion = Suspicion()
    suspicion.take()
    assert suspicion.prior(100.0) == UNSUSPECTED_PRIOR and not suspicion.stands(100.0)


def test_blame_raises_the_prior_and_a_reading_taken_lowers_it_to_probation() -> None:
    suspicion = Suspicion()
    suspicion.blame(10.0)
    assert suspicion.prior(10.0) == STANDING_PRIOR
    suspicion.take()
    assert UNSUSPECTED_PRIOR < suspicion.prior(10.0) <= PROBATION_PRIOR


def test_blame_is_anew_only_after_a_reading_was_taken() -> None:
    suspicion = Suspicion()
    suspicion.blame(10.0)
    suspicion.blame(13.0)
    assert suspicion.prior(13.0) == STANDING_PRIOR - 3.0 / FADES_S
    suspicion.take()
    suspicion.blame(14.0)
    assert suspicion.prior(14.0) == STANDING_PRIOR


def test_a_fault_that_hides_and_shows_again_has_lasted_all_along() -> None:
    suspicion = Suspicion()
    assert suspicion.blame(10.0) == 10.0
    for _ in range(60):
        suspicion.take()
    assert not suspicion.stands(20.0)
    assert suspicion.blame(20.0) == 10.0
    # What comes long after it was last blamed is another fault.
    later_s = 20.1 + RELAPSE_S
    assert suspicion.blame(later_s) == later_s


@given(st.lists(st.tuples(st.floats(0.05, 10.0), st.booleans()), max_size=60))
def test_suspicion_only_falls_and_is_gone_in_five_minutes(
    steps: list[tuple[float, bool]],
) -> None:
    suspicion = Suspicion()
    suspicion.blame(0.0)
    time_s, before = 0.0, suspicion.prior(0.0)
    for step_s, taken in steps:
        time_s += step_s
        if taken:
            suspicion.take()
        assert UNSUSPECTED_PRIOR <= suspicion.prior(time_s) <= before
        before = suspicion.prior(time_s)
    assert not suspicion.stands(300.0 + time_s)


def test_four_seconds_of_readings_that_are_taken_end_it() -> None:
    suspicion = Suspicion()
    suspicion.blame(0.0)
    for k in range(40):
        assert suspicion.stands(0.1 * k)
        suspicion.take()
    assert not suspicion.stands(4.0)


def test_a_healthy_sensor_that_was_blamed_wrongly_is_soon_unsuspected() -> None:
    suspicion = Suspicion()
    suspicion.blame(0.0)
    for _ in range(8):
        assert suspicion.stands(0.0)
        suspicion.see(0.1)
    assert not suspicion.stands(0.0)


def test_readings_that_are_off_ease_nothing() -> None:
    suspicion = Suspicion()
    suspicion.blame(0.0)
    for _ in range(100):
        suspicion.see(0.5)
    assert suspicion.prior(0.0) == STANDING_PRIOR
