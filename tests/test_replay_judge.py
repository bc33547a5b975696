"""A run against the truth: the numbers of its summary, and what is left where there is no truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.cliff import ALTIMETER, Flight
from trn.altimetry.baseline import BaselineFilter
from trn.camera import Camera
from trn.fix import PositionFix, ProtectionLevel
from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.replay.dataset import (
    AltimeterSeries,
    Descent,
    ImuSeries,
    InitialState,
    StarTrackerSeries,
    Truth,
)
from trn.replay.descent import FaultSpan
from trn.replay.judge import (
    CHANGING_FAULTS,
    Sample,
    altitude_errors_m,
    baseline_of,
    fix_errors_m,
    is_healthy,
    longest_rejection,
    percentiles,
    position_errors_m,
    story_of,
    summary_of,
    true_altitudes_m,
    true_positions_m,
    wrong_fixes,
)
from trn.replay.onboard import Alarm
from trn.replay.record import CrosscheckRow

Array = NDArray[np.float64]

START_NS = 1_682_481_600_000_000_000
FLIGHT = Flight(climb_m_per_s=-40.0)
MAP_PIXEL_M = 100.0
NO_STAMPS = np.empty(0, np.int64)


def stamp(time_s: float) -> int:
    return START_NS + round(time_s * 1e9)


def truth_of(step_s: float = 1.0, end_s: float = 20.0) -> Truth:
    time_s = np.arange(0.0, end_s + 1e-9, step_s)
    motions = [FLIGHT.motion(t) for t in time_s]
    return Truth(
        np.array([stamp(t) for t in time_s]),
        np.array([position for position, _, _ in motions]),
        np.array([velocity for _, velocity, _ in motions]),
        np.tile([0.0, 0.0, 0.0, 1.0], (len(time_s), 1)),
        np.array([stamp(t) for t in time_s]),
        3_000.0 - 40.0 * time_s,
    )


def descent_of(truth: Truth | None, faults: tuple[FaultSpan, ...] = ()) -> Descent:
    vector = np.empty((0, 3))
    return Descent(
        Path("made"), "made", "made", "Made", 3, START_NS, False, "cliff", "", Camera(
            64, 48, 60.0, 60.0, 31.5, 23.5
        ), Rotation.identity(), (), ImuSeries(NO_STAMPS, vector, vector),
        ImuModel(50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        StarTrackerSeries(NO_STAMPS, np.empty((0, 4)), np.empty(0)), StarTrackerModel(1e-5, 1e-5),
        AltimeterSeries(NO_STAMPS, np.empty(0), np.empty(0, bool), NO_STAMPS), ALTIMETER,
        InitialState(START_NS, np.zeros(3), 1.0, np.zeros(3), 1.0), (), truth, faults, (),
    )  # fmt: skip


def sample_at(time_s: float, **changed: Any) -> Sample:
    """A reading that was used, 3 m off in position, 2 m off in altitude."""
    row = CrosscheckRow(
        time_ns=stamp(time_s), range_m=3_000.0, valid=True, beam=0, expected_range_m=3_001.0,
        expected_sigma_m=10.0, verdict="consistent", probability_consistent=1.0,
        probability_altimeter=0.0, probability_navigation=0.0, probability_map=0.0,
        probability_undecided=0.0, used=True, kind="", sentence="agrees",
        altitude_m=3_002.0 - 40.0 * time_s, altitude_sigma_m=3.0, protection_level_m=20.0,
        baseline_altitude_m=2_900.0 - 40.0 * time_s, baseline_locked_out=False,
    )  # fmt: skip
    place = FLIGHT.motion(time_s)[0] + np.array([0.0, 0.0, 3.0])
    return Sample(time_s, replace(row, **changed), place, 30.0, 1.0)


def fix_at(time_s: float, off_m: float, level_m: float | None = 50.0) -> PositionFix:
    level = None if level_m is None else ProtectionLevel(level_m, 0.0, 1e-5)
    place = FLIGHT.motion(time_s)[0] + np.array([0.0, off_m, 0.0])
    return PositionFix("fix", "", place, np.eye(3), protection_level=level)


def told(time_s: float, fix: PositionFix) -> tuple[float, PositionFix, bool, str]:
    return time_s, fix, True, ""


def onboard_of(baseline: BaselineFilter | None, alarms: Sequence[Alarm] = ()) -> Any:
    return SimpleNamespace(baseline=baseline, alarms=list(alarms))


LOCALIZER: Any = SimpleNamespace(
    backend=SimpleNamespace(name="cpu"), map=SimpleNamespace(resolution_m=MAP_PIXEL_M)
)
REFUSED = PositionFix("no_fix", "too dark")


@given(st.lists(st.one_of(st.floats(0, 1e6), st.just(math.nan)), max_size=40))
def test_percentiles_are_of_what_is_known(values: list[float]) -> None:
    found = percentiles(np.array(values))
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        assert found == {"p50": None, "p95": None, "max": None}
        return
    assert found["max"] == known[-1]
    assert found["p50"] == pytest.approx(np.quantile(known, 0.5))
    assert found["p95"] == pytest.approx(np.quantile(known, 0.95))


@given(st.lists(st.booleans(), max_size=40))
def test_the_longest_rejection_is_the_longest_run_of_readings_not_used(used: list[bool]) -> None:
    samples = [sample_at(0.1 * k, used=each) for k, each in enumerate(used)]
    runs = "".join("u" if each else "r" for each in used).split("u")
    assert longest_rejection(samples) == max(map(len, runs))


@given(time_s=st.floats(0, 20))
def test_true_positions_between_samples_are_those_of_the_motion(time_s: float) -> None:
    found = true_positions_m(descent_of(truth_of()), np.array([time_s]))
    assert found[0] == pytest.approx(FLIGHT.motion(time_s)[0], abs=1e-3)


def test_outside_the_truth_nothing_is_known() -> None:
    descent = descent_of(truth_of(end_s=10.0))
    times = np.array([-1.0, 10.5])
    assert np.isnan(true_positions_m(descent, times)).all()
    assert np.isnan(true_altitudes_m(descent, times)).all()
    assert np.isfinite(true_positions_m(descent, np.array([0.0, 10.0]))).all()


def states_of(samples: list[Sample]) -> list[tuple[float, Array]]:
    return [(each.time_s, each.position_m) for each in samples]


def test_errors_are_the_distance_from_the_truth() -> None:
    descent = descent_of(truth_of())
    samples = [sample_at(0.3 * k) for k in range(20)]
    assert position_errors_m(descent, states_of(samples)) == pytest.approx(3.0, abs=1e-2)
    assert altitude_errors_m(descent, samples) == pytest.approx(2.0, abs=1e-3)
    unknown = [sample_at(1.0, altitude_m=None), sample_at(2.0)]
    assert np.isnan(altitude_errors_m(descent, unknown)).tolist() == [True, False]


def test_only_faults_that_change_ranges_make_them_unhealthy() -> None:
    for name in (*CHANGING_FAULTS, "lrf-dropout", "camera-blackout"):
        descent = descent_of(truth_of(), (FaultSpan(name, stamp(2.0), stamp(4.0)),))
        healthy = [is_healthy(descent, sample_at(t)) for t in (1.9, 2.0, 3.9, 4.0)]
        assert healthy == [True, *[name not in CHANGING_FAULTS] * 2, True]
    lasting = descent_of(truth_of(), (FaultSpan("lrf-bias", stamp(2.0), None),))
    assert not is_healthy(lasting, sample_at(19.0))
    assert not is_healthy(descent_of(None), sample_at(1.0, valid=False))


def test_a_fix_is_wrong_beyond_both_its_level_and_three_pixels() -> None:
    descent = descent_of(truth_of())
    fixes = [
        told(1.0, fix_at(1.0, 0.0)),
        told(2.0, fix_at(2.0, 299.0)),
        told(3.0, fix_at(3.0, 301.0)),
        told(4.0, fix_at(4.0, 301.0, level_m=400.0)),
        told(5.0, fix_at(5.0, 401.0, level_m=400.0)),
        told(6.0, fix_at(6.0, 5_000.0, level_m=None)),
        told(7.0, REFUSED),
        told(99.0, fix_at(3.0, 5_000.0)),
    ]
    assert wrong_fixes(descent, fixes, MAP_PIXEL_M) == 2
    errors = fix_errors_m(descent, fixes)
    assert errors[:2] == pytest.approx([0.0, 299.0], abs=1e-2)
    assert np.isnan(errors[6:]).all()
    assert wrong_fixes(descent_of(None), fixes, MAP_PIXEL_M) is None
    assert wrong_fixes(descent, [], MAP_PIXEL_M) == 0
    assert fix_errors_m(descent, []).size == 0


def locked_out(at_s: float) -> BaselineFilter:
    baseline = BaselineFilter(0.0)
    baseline.locked_out_at_s = at_s
    return baseline


def test_the_baselines_end_is_told_with_the_true_altitude_at_its_zero() -> None:
    samples = [sample_at(0.5 * k, baseline_altitude_m=400.0 - 50.0 * k) for k in range(20)]
    found = baseline_of(descent_of(truth_of()), samples, onboard_of(locked_out(1.5)))
    assert found["locked_out"] is True and found["lockout_time_s"] == 1.5
    # It reads zero at the ninth sample, 4 s in.
    assert found["true_altitude_when_estimate_is_zero_m"] == pytest.approx(3_000.0 - 160.0)
    assert baseline_of(descent_of(None), samples, onboard_of(locked_out(1.5))) == {
        "locked_out": True,
        "lockout_time_s": 1.5,
        "true_altitude_when_estimate_is_zero_m": None,
    }
    never = {
        "locked_out": False,
        "lockout_time_s": None,
        "true_altitude_when_estimate_is_zero_m": None,
    }
    assert baseline_of(descent_of(truth_of()), [], onboard_of(None)) == never
    unread = [sample_at(0.0, baseline_altitude_m=None)]
    assert baseline_of(descent_of(truth_of()), unread, onboard_of(None)) == never


def test_a_summary_counts_what_happened() -> None:
    descent = descent_of(truth_of(), (FaultSpan("lrf-bias", stamp(3.0), stamp(5.0)),))
    samples = [sample_at(0.5 * k) for k in range(6)]
    samples += [sample_at(0.5 * k, used=False, verdict="altimeter") for k in range(6, 12)]
    samples.append(sample_at(6.0, valid=False, used=False))
    samples.append(sample_at(6.5, valid=False, used=False, verdict="altimeter", kind="silent"))
    fixes = [told(1.0, fix_at(1.0, 10.0)), told(2.0, REFUSED), told(3.0, fix_at(3.0, 900.0))]
    alarms = [Alarm(3.2, "altimeter", "the altimeter is wrong")]
    onboard = onboard_of(locked_out(4.0), alarms)
    found = summary_of(descent, samples, states_of(samples), fixes, onboard, LOCALIZER, wall_s=2.0)
    assert found["frames"] == {"total": 3, "fixes": 2, "refused": 1, "wrong": 1}
    assert (found["duration_s"], found["real_time_factor"]) == (6.5, 3.25)
    check = found["crosscheck"]
    assert check["measurements"] == 12
    # Two readings after the bias ended were healthy and still turned away.
    assert (check["healthy"], check["rejected_healthy"]) == (8, 2)
    assert check["longest_rejection_of_healthy"] == 2
    assert check["verdicts"] == {
        "consistent": 6, "altimeter": 7, "navigation": 0, "map": 0, "undecided": 0
    }  # fmt: skip
    assert check["alarms"] == [{"time_s": 3.2, "kind": "altimeter", "text": alarms[0].text}]
    assert found["position_error_m"]["max"] == pytest.approx(3.0, abs=1e-2)
    assert found["altitude_error_m"]["at_end"] == pytest.approx(2.0, abs=1e-3)


def test_without_an_altimeter_the_states_at_the_frames_are_judged() -> None:
    states = states_of([sample_at(0.5 * k) for k in range(5)])
    found = summary_of(
        descent_of(truth_of()), [], states, [], onboard_of(None), LOCALIZER, wall_s=1.0
    )
    assert found["duration_s"] == 2.0
    assert found["position_error_m"]["p50"] == pytest.approx(3.0, abs=1e-2)
    assert found["altitude_error_m"]["p50"] is None
    assert found["crosscheck"]["measurements"] == 0


@pytest.mark.parametrize("samples", [[], [sample_at(1.0), sample_at(2.0, altitude_m=None)]])
def test_without_truth_the_errors_are_none(samples: list[Sample]) -> None:
    fixes = [told(1.0, fix_at(1.0, 0.0))]
    found = summary_of(
        descent_of(None), samples, states_of(samples), fixes, onboard_of(None), LOCALIZER, 0.0
    )
    nothing = {"p50": None, "p95": None, "max": None}
    assert found["position_error_m"] == nothing
    assert found["altitude_error_m"] == {**nothing, "at_end": None}
    assert found["frames"]["wrong"] is None and found["real_time_factor"] is None
    story = story_of(descent_of(None), samples, [], onboard_of(None))
    assert story.true_altitude is None and story.position_error is None
    assert story.position_level is None


def test_a_story_draws_ranges_as_the_vertical_distances_that_they_stand_for() -> None:
    samples = [
        replace(sample_at(0.0), level=0.5),
        sample_at(1.0, valid=False),
        sample_at(2.0, used=False, verdict="altimeter"),
    ]
    fixes = [told(1.0, fix_at(1.0, 10.0)), told(2.0, REFUSED)]
    story = story_of(descent_of(truth_of()), samples, fixes, onboard_of(locked_out(1.0)))
    assert story.readings.range_m.tolist() == [1_500.0, 3_000.0]
    assert story.readings.used.tolist() == [True, False]
    assert story.verdicts == ("consistent", "consistent", "altimeter")
    assert story.lockout_time_s == 1.0
    assert [mark.status for mark in story.fixes] == ["fix", "no_fix"]
    assert story.fixes[0].error_m == pytest.approx(10.0, abs=1e-2)
    assert story.fixes[1].error_m is None
    assert story.fixes[1].note == REFUSED.reason != ""
