"""Valid data that is due and does not come raises the alarm; usual dropouts do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn.altimetry.silence import SilenceWatch


@pytest.mark.parametrize("dropouts", [0.0, 0.001, 0.01, 0.05])
def test_full_silence_is_established_within_ten_readings(dropouts: float) -> None:
    watch = SilenceWatch(dropouts)
    for _ in range(100):
        watch.due(came=True)
    for _ in range(10):
        watch.due(came=False)
    assert watch.alarmed and watch.probability > 0.4


@pytest.mark.parametrize("dropouts", [0.001, 0.01, 0.05])
def test_the_usual_dropouts_raise_no_alarm(dropouts: float) -> None:
    rng = np.random.default_rng(3)
    watch = SilenceWatch(dropouts)
    for came in rng.uniform(size=20_000) >= dropouts:
        watch.due(came=bool(came))
        assert not watch.alarmed


@pytest.mark.parametrize("dropouts", [0.001, 0.05])
def test_an_instrument_that_loses_two_of_three_is_silent_too(dropouts: float) -> None:
    rng = np.random.default_rng(4)
    watch = SilenceWatch(dropouts)
    alarmed_at = None
    for k, came in enumerate(rng.uniform(size=100) >= 0.67):
        watch.due(came=bool(came))
        if watch.alarmed and alarmed_at is None:
            alarmed_at = k
    assert alarmed_at is not None and alarmed_at < 40


def test_after_any_length_of_silence_it_ends_at_a_reading_that_agrees() -> None:
    watch = SilenceWatch(0.01)
    for _ in range(10_000):
        watch.due(came=False)
    watch.answered()
    assert not watch.alarmed and watch.probability < 1e-4


def test_readings_that_come_and_are_wrong_end_it_too_in_time() -> None:
    watch = SilenceWatch(0.01)
    for _ in range(10_000):
        watch.due(came=False)
    for _ in range(40):
        watch.due(came=True)
    assert not watch.alarmed


def test_an_answer_does_not_wipe_out_a_suspicion_that_is_not_yet_an_alarm() -> None:
    watch = SilenceWatch(0.01)
    watch.due(came=False)
    before = watch.probability
    watch.answered()
    assert watch.probability == before


@given(st.lists(st.booleans(), max_size=200), st.floats(0, 1))
def test_probability_is_one_and_agrees_with_the_alarm(came: list[bool], dropouts: float) -> None:
    watch = SilenceWatch(dropouts)
    for each in came:
        watch.due(came=each)
        assert 0.0 <= watch.probability <= 1.0
        assert watch.alarmed == (watch.probability >= 0.5)
