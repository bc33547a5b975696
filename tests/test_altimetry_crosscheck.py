"""The cross-check over a cliff: healthy ranges are kept, sick ones named, nobody shut out."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.cliff import ALTIMETER, HOLE_DEG, Flight, Readings, honest_belief
from trn.altimetry.belief import Belief, FixEvidence
from trn.altimetry.crosscheck import CrossCheck
from trn.altimetry.terrain import MapRanges
from trn.altimetry.verdict import ALTIMETER as ALTIMETER_WRONG
from trn.altimetry.verdict import (
    CAMERA,
    CONSISTENT,
    MAP,
    NAVIGATION,
    UNDECIDED,
    VERDICTS,
    Assessment,
)
from trn.replay.injected import shifted

Array = NDArray[np.float64]
Distortion = Callable[[int, float], tuple[float, bool]]

STEP_S = 0.1
SIGMA_M = 60.0
FALLING = Flight(height_m=6_500.0, climb_m_per_s=-60.0)
HOVER = Flight(height_m=1_500.0, speed_m_per_s=0.0)


def healthy(k: int, range_m: float) -> tuple[float, bool]:
    return range_m, True


def fly(
    ranges: MapRanges,
    flight: Flight,
    begin_s: float,
    count: int,
    seed: int,
    distort: Distortion = healthy,
    check: CrossCheck | None = None,
    beam: int = 0,
    step_s: float = STEP_S,
) -> list[Assessment]:
    """Readings in a row, judged from a navigation that is honestly off."""
    rng = np.random.default_rng(seed)
    error = rng.normal(0.0, SIGMA_M, 3)
    readings = Readings(ranges, flight, seed)
    check = check or CrossCheck(ranges, ALTIMETER)
    found = []
    for k in range(count):
        time_s = begin_s + k * step_s
        range_m, valid = distort(k, readings.range_m(time_s, beam))
        belief = honest_belief(flight, time_s, error, SIGMA_M)
        found.append(check.assess(belief, range_m, valid, beam))
    return found


def verdicts(found: list[Assessment]) -> list[str]:
    return [each.verdict for each in found]


def longest_rejection(found: list[Assessment]) -> int:
    """Readings turned away in a row, at most."""
    longest = run = 0
    for each in found:
        run = 0 if each.used else run + 1
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("flight", [Flight(), FALLING, Flight(height_m=4_500.0)])
def test_a_real_cliff_of_3_km_is_no_reason_to_turn_the_altimeter_away(
    cliff: MapRanges, flight: Flight, seed: int
) -> None:
    found = fly(cliff, flight, -6.0, 120, seed)
    assert set(verdicts(found)) == {CONSISTENT}
    assert all(each.used for each in found)
    assert max(each.expected_m for each in found) - min(each.expected_m for each in found) > 2_500.0


@pytest.mark.parametrize("seed", range(3))
def test_nor_is_it_for_a_tilted_beam(cliff: MapRanges, seed: int) -> None:
    assert set(verdicts(fly(cliff, Flight(), -6.0, 120, seed, beam=1))) == {CONSISTENT}


def late(seconds: float) -> Distortion:
    """Readings of some time ago."""
    past: list[float] = []

    def distort(k: int, range_m: float) -> tuple[float, bool]:
        past.append(range_m)
        return past[max(len(past) - 1 - round(seconds / STEP_S), 0)], True

    return distort


def between(fault: Distortion, first: int, end: int) -> Distortion:
    """A fault from one reading to another; it sees all readings."""

    def distort(k: int, range_m: float) -> tuple[float, bool]:
        spoilt = fault(k, range_m)
        return spoilt if first <= k < end else (range_m, True)

    return distort


def noisy(sigma_m: float, seed: int) -> Distortion:
    rng = np.random.default_rng(seed)
    return lambda k, range_m: (range_m + float(rng.normal(0.0, sigma_m)), True)


def stuck() -> Distortion:
    held: list[float] = []

    def distort(k: int, range_m: float) -> tuple[float, bool]:
        if k < FIRST:
            held[:] = [range_m]
        return held[0], True

    return distort


FIRST, END = 40, 75
# On readings of some 3 to 4 km: beyond both 30 m and 1 % of range.
FAULTS: dict[str, Callable[[int], Distortion]] = {
    "bias up": lambda seed: lambda k, r: (r + 60.0, True),
    "bias down": lambda seed: lambda k, r: (r - 60.0, True),
    "bias large": lambda seed: lambda k, r: (r + 3_000.0, True),
    "scale": lambda seed: lambda k, r: (1.03 * r, True),
    "scale down": lambda seed: lambda k, r: (0.8 * r, True),
    "noise": lambda seed: noisy(100.0, seed),
    "noise large": lambda seed: noisy(1_000.0, seed),
    "late": lambda seed: late(1.5),
    "stuck": lambda seed: stuck(),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FAULTS)
def test_a_sick_altimeter_is_named_within_ten_readings_and_let_in_again_within_ten(
    cliff: MapRanges, name: str, seed: int
) -> None:
    fault = between(FAULTS[name](seed), FIRST, END)
    found = fly(cliff, FALLING, -10.0, 100, seed, fault)
    assert set(verdicts(found[:FIRST])) == {CONSISTENT}
    assert ALTIMETER_WRONG in verdicts(found[FIRST : FIRST + 10])
    others = set(verdicts(found)) - {CONSISTENT, ALTIMETER_WRONG, UNDECIDED}
    assert not others
    assert any(each.used for each in found[END : END + 10])
    assert longest_rejection(found[END + 10 :]) <= 3


@pytest.mark.parametrize("seed", range(3))
def test_a_bias_that_lasts_is_not_taken_for_ended_when_its_beginning_is_long_past(
    cliff: MapRanges, seed: int
) -> None:
    """Four times what the height is known to, which by itself is no proof of a fault."""
    sigma_m, first, end = 26.0, 70, 270
    flight = Flight(latitude_deg=10.2)
    readings = Readings(cliff, flight, seed)
    error = np.random.default_rng(seed).normal(0.0, 0.5 * sigma_m, 3)
    check = CrossCheck(cliff, ALTIMETER)
    found = []
    for k in range(end + 20):
        time_s = k * STEP_S
        bias_m = 4.0 * sigma_m if first <= k < end else 0.0
        belief = replace(honest_belief(flight, time_s, error, sigma_m), velocity_sigma_m_per_s=1.5)
        found.append(check.assess(belief, readings.range_m(time_s) + bias_m, True, 0))
    assert ALTIMETER_WRONG in verdicts(found[first : first + 10])
    assert not any(each.used for each in found[first + 10 : end])
    assert any(each.used for each in found[end : end + 10])


def fly_with_bias(ranges: MapRanges, bias_m: Array, seed: int) -> list[Assessment]:
    """Readings over the crater's floor, biased by so much each, heights known to 22 m."""
    flight, sigma_m = Flight(latitude_deg=10.2), 22.0
    readings = Readings(ranges, flight, seed)
    error = np.random.default_rng(seed).normal(0.0, 0.3 * sigma_m, 3)
    check = CrossCheck(ranges, ALTIMETER)
    found = []
    for k, each_m in enumerate(bias_m):
        time_s = k * STEP_S
        belief = replace(honest_belief(flight, time_s, error, sigma_m), velocity_sigma_m_per_s=1.5)
        found.append(check.assess(belief, readings.range_m(time_s) + float(each_m), True, 0))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_fault_that_hides_for_a_second_is_not_over(cliff: MapRanges, seed: int) -> None:
    """As of a late range finder, where the ground rises while the lander falls."""
    dip_m = 95.0 - 55.0 * np.sin(np.linspace(0.0, math.pi, 20))
    bias_m = np.concatenate([np.zeros(70), np.full(60, 95.0), dip_m, np.full(40, 95.0)])
    found = fly_with_bias(cliff, bias_m, seed)
    assert all(each.used for each in found[:70])
    assert not any(each.used for each in found[71:])
    assert not set(verdicts(found)) - {CONSISTENT, ALTIMETER_WRONG, UNDECIDED}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_taken_on_probation_is_no_comparison_for_what_follows(
    cliff: MapRanges, seed: int
) -> None:
    """A fault that comes back by and by, readings having been right for a while."""
    back_m = np.concatenate([np.linspace(0.0, 95.0, 25), np.full(30, 95.0)])
    bias_m = np.concatenate([np.zeros(70), np.full(60, 95.0), np.zeros(12), back_m, np.zeros(40)])
    found = fly_with_bias(cliff, bias_m, seed)
    right, end = 130, 130 + 12 + len(back_m)
    assert any(each.used for each in found[right : right + 10])
    assert not any(each.used for each in found[right + 12 + 25 : end])
    assert any(each.used for each in found[end : end + 10])
    assert not set(verdicts(found)) - {CONSISTENT, ALTIMETER_WRONG, UNDECIDED}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("off_m", [-800.0, 200.0, 4_000.0])
def test_a_single_spike_costs_one_reading(cliff: MapRanges, off_m: float, seed: int) -> None:
    found = fly(cliff, Flight(), -10.0, 60, seed, lambda k, r: (r + off_m if k == 30 else r, True))
    assert [k for k, each in enumerate(found) if not each.used] == [30]


@pytest.mark.parametrize("seed", range(3))
def test_a_stuck_altimeter_is_noticed_also_in_a_hover(cliff: MapRanges, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check = CrossCheck(cliff, ALTIMETER)
    start = Readings(cliff, replace(HOVER, latitude_deg=10.1), seed)
    flight = start.flight
    # Over the floor, not over the rim.
    error = np.array([3_000.0, 0.0, 0.0]) + rng.normal(0.0, 20.0, 3)
    position, _, _ = flight.motion(0.0)
    belief = honest_belief(flight, 0.0, error, 20.0)
    down = flight.rotation.T @ ALTIMETER.boresights()[0]
    true_m = float(cliff.ranges_m((position + 3_000.0 * flight.axes[0])[None], down[None])[0])
    found = []
    for k in range(80):
        noise = float(rng.normal(0.0, math.sqrt(ALTIMETER.variance_m2(true_m, 0.1))))
        if k <= 40:
            range_m = round((true_m + noise) / ALTIMETER.resolution_m) * ALTIMETER.resolution_m
        found.append(check.assess(replace(belief, time_s=k * STEP_S), range_m, True, 0))
    assert set(verdicts(found[:40])) == {CONSISTENT}
    named = [each for each in found[41:] if each.verdict == ALTIMETER_WRONG]
    assert named and {each.kind for each in named} == {"stuck"}


def test_silence_is_noticed_and_ends(cliff: MapRanges) -> None:
    silent = between(lambda k, r: (0.0, False), 30, 80)
    found = fly(cliff, Flight(), -12.0, 120, 1, silent)
    assert set(verdicts(found[:30])) == {CONSISTENT}
    named = [k for k, each in enumerate(found) if each.kind == "silent"]
    # Within 2 s, and until the first range that comes.
    assert named == list(range(named[0], 80)) and named[0] < 50
    assert not any(each.used for each in found[30:80])
    assert all(each.used for each in found[80:])
    assert "silent" in found[79].sentence


def test_out_of_reach_silence_is_right(cliff: MapRanges) -> None:
    high = Flight(height_m=25_000.0)
    found = fly(cliff, high, -12.0, 60, 1, lambda k, r: (math.nan, False))
    assert set(verdicts(found)) == {CONSISTENT} and not any(each.used for each in found)
    assert "none is due" in found[-1].sentence


def test_ground_that_the_map_lacks_leaves_the_matter_open(cliff: MapRanges) -> None:
    south, north, west, east = HOLE_DEG
    flight = replace(Flight(), latitude_deg=0.5 * (south + north))
    middle_s = -math.radians(30.0 - 0.5 * (west + east)) * 1_737_400.0 * math.cos(
        math.radians(flight.latitude_deg)
    ) / flight.speed_m_per_s  # fmt: skip
    check = CrossCheck(cliff, ALTIMETER)
    for k in range(20):
        belief = honest_belief(flight, middle_s + k * STEP_S, np.zeros(3))
        judged = check.assess(belief, 3_000.0, True, 0)
        assert judged.verdict == UNDECIDED and not judged.used
        assert judged.probabilities[UNDECIDED] == 1.0
        assert math.isnan(judged.expected_m) and math.isnan(judged.expected_sigma_m)
        assert "map holds no ground" in judged.sentence


def test_sentences_name_the_numbers_and_the_party(cliff: MapRanges) -> None:
    found = fly(cliff, Flight(), -10.0, 50, 2, lambda k, r: (r + 500.0 * (k >= 40), True))
    good, bad = found[39], found[-1]
    assert good.verdict == CONSISTENT and f"{good.expected_m:,.0f} m" in good.sentence
    assert bad.verdict == ALTIMETER_WRONG and bad.kind
    numbers = f"{bad.expected_m:,.0f} m", f"{bad.expected_sigma_m:,.0f} m"
    for part in (*numbers, "altimeter", bad.kind):
        assert part in bad.sentence
    assert f"{100 * bad.probabilities[ALTIMETER_WRONG]:.0f} % sure" in bad.sentence


ODD = st.one_of(
    st.floats(-1e9, 0.0),
    st.floats(2.1 * ALTIMETER.maximum_range_m, 1e300),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]),
)


@settings(max_examples=25, deadline=None)
@given(
    odd=st.lists(ODD, min_size=1, max_size=6),
    plain=st.lists(st.floats(1e-3, 2.0 * ALTIMETER.maximum_range_m), max_size=6),
    seed=st.integers(0, 100),
)
def test_absurd_ranges_are_never_used_and_every_answer_is_whole(
    cliff: MapRanges, odd: list[float], plain: list[float], seed: int
) -> None:
    check = CrossCheck(cliff, ALTIMETER)
    fed = [*odd, *plain, *odd]
    found = fly(cliff, Flight(), -1.0, len(fed), seed, lambda k, r: (fed[k], True), check)
    for range_m, judged in zip(fed, found, strict=True):
        if range_m in odd or math.isnan(range_m):
            assert not judged.used
        assert judged.verdict in VERDICTS and set(judged.probabilities) == set(VERDICTS)
        assert sum(judged.probabilities.values()) == pytest.approx(1.0)
        assert all(0.0 <= share <= 1.0 for share in judged.probabilities.values())
        assert judged.used == (judged.verdict == CONSISTENT and range_m not in odd)
        assert judged.sentence and "nan" not in judged.sentence.lower()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([-0.3, 0.0, 1e-9, 0.1, 5.0, 500.0]), min_size=2, max_size=20))
def test_odd_time_steps_do_no_harm(cliff: MapRanges, steps: list[float]) -> None:
    check = CrossCheck(cliff, ALTIMETER)
    time_s = -1.0
    for step in steps:
        time_s += step
        belief = replace(honest_belief(Flight(), 0.0, np.zeros(3)), time_s=time_s)
        judged = check.assess(belief, 4_500.0, True, 0)
        assert sum(judged.probabilities.values()) == pytest.approx(1.0)


def test_a_fault_of_minutes_grows_nothing_and_ends_well(cliff: MapRanges) -> None:
    flight = Flight(speed_m_per_s=20.0, latitude_deg=10.2)
    check = CrossCheck(cliff, ALTIMETER)
    first, end = 40, 540
    held: list[int] = []

    def fault(k: int, range_m: float) -> tuple[float, bool]:
        if k == 240:
            tracemalloc.start()
        if k in (241, end - 1):
            held.append(tracemalloc.get_traced_memory()[0])
        return (range_m + 400.0 if first <= k < end else range_m), True

    # Over the floor, which 20 m/s does not leave.
    found = fly(cliff, flight, 200.0, end + 60, 3, fault, check, step_s=0.25)
    tracemalloc.stop()
    # The answers themselves, which are kept here, take up a kilobyte each.
    assert held[1] - held[0] < 100_000 + 1_300 * (end - 240)
    assert set(verdicts(found[first + 10 : end])) == {ALTIMETER_WRONG}
    assert any(each.used for each in found[end : end + 10])
    assert set(verdicts(found[end + 10 :])) == {CONSISTENT}


def evidence_of(belief: Belief, true_m: Array, rng: np.random.Generator) -> FixEvidence:
    fix = true_m + rng.normal(0.0, 10.0, 3)
    return FixEvidence(
        belief.time_s, fix - belief.position_m, fix - belief.witness_m,
        belief.covariance[:3, :3] + 100.0 * np.eye(3), 100.0 * np.eye(3),
        belief.velocity_m_per_s, belief.position_m / np.linalg.norm(belief.position_m),
        belief.unaided_s,
    )  # fmt: skip


def test_a_state_that_was_moved_is_named_by_two_fixes_and_then_to_be_reset(
    cliff: MapRanges,
) -> None:
    rng = np.random.default_rng(5)
    flight = Flight()
    check = CrossCheck(cliff, ALTIMETER)
    jump = np.array([0.0, 400.0, 0.0])
    found = []
    for k in range(2):
        true_m, _, _ = flight.motion(float(k))
        belief = honest_belief(flight, float(k), jump, 20.0, witness_error_m=np.zeros(3))
        found.append(check.assess_fix(belief, evidence_of(belief, true_m, rng)))
    assert not any(each.accepted for each in found)
    assert found[-1].party == NAVIGATION and found[-1].reset


def test_one_wrong_fix_is_turned_away_and_the_next_right_one_taken(cliff: MapRanges) -> None:
    rng = np.random.default_rng(6)
    flight = Flight()
    check = CrossCheck(cliff, ALTIMETER)
    found = []
    for k in range(5):
        true_m, _, _ = flight.motion(float(k))
        wrong = np.array([300.0, -200.0, 350.0]) if k == 2 else np.zeros(3)
        belief = honest_belief(flight, float(k), np.zeros(3), 20.0)
        found.append(check.assess_fix(belief, evidence_of(belief, true_m + wrong, rng)))
    assert [each.accepted for each in found] == [True, True, False, True, True]
    assert found[2].party in (CAMERA, UNDECIDED) and not found[2].reset


@pytest.mark.parametrize("seed", range(3))
def test_a_navigation_that_was_moved_is_not_the_altimeters_fault(
    cliff: MapRanges, seed: int
) -> None:
    """The state jumps by 600 m in height; the inertial witness does not."""
    flight = Flight()
    check = CrossCheck(cliff, ALTIMETER)
    readings = Readings(cliff, flight, seed)
    found = []
    for k in range(60):
        time_s = -10.0 + k * STEP_S
        error = np.array([0.0, 0.0, 600.0]) if k >= 40 else np.zeros(3)
        belief = honest_belief(flight, time_s, error, 30.0, witness_error_m=np.zeros(3))
        found.append(check.assess(belief, readings.range_m(time_s), True, 0))
    assert set(verdicts(found[:40])) == {CONSISTENT}
    assert NAVIGATION in verdicts(found[40:50])
    assert ALTIMETER_WRONG not in verdicts(found)


@pytest.mark.parametrize("seed", range(3))
def test_once_a_fix_agrees_again_nobody_is_blamed_for_what_the_map_did(
    cliff: MapRanges, seed: int
) -> None:
    """Nor the altimeter, whose readings stood out while the map lay 1.5 km aside, near a cliff."""
    flight, first, end = Flight(), 50, 85
    shift = np.array([1_500.0, 800.0, 0.0]) @ flight.axes
    check = CrossCheck(cliff, ALTIMETER)
    readings = Readings(cliff, flight, seed)
    rng = np.random.default_rng(seed)
    found, fixes = [], []
    for k in range(end + 40):
        time_s = -8.0 + k * STEP_S
        true_m, _, _ = flight.motion(time_s)
        cliff.placement = None
        range_m = readings.range_m(time_s)
        belief = honest_belief(flight, time_s, np.zeros(3), 30.0)
        off = first <= k < end
        cliff.placement = shifted(shift, true_m) if off else None
        if k % 5 == 0:
            evidence = evidence_of(belief, true_m + shift if off else true_m, rng)
            fixes.append(check.assess_fix(belief, evidence))
        found.append(check.assess(belief, range_m, True, 0))
    assert not any(each.accepted for each in fixes[first // 5 : end // 5])
    assert MAP in verdicts(found[first:end])
    assert all(each.accepted for each in fixes[end // 5 :])
    assert all(each.used for each in found[end:])


def test_a_witness_that_is_started_anew_changes_no_verdict(cliff: MapRanges) -> None:
    flight = Flight()
    check = CrossCheck(cliff, ALTIMETER)
    readings = Readings(cliff, flight, 8)
    shift = np.array([25.0, -10.0, 8.0])
    for k in range(80):
        time_s = -6.0 + k * STEP_S
        if k == 40:
            check.witness_restarted(shift @ flight.axes)
        witness = shift if k >= 40 else np.zeros(3)
        belief = honest_belief(flight, time_s, shift, 40.0, witness_error_m=witness)
        assert check.assess(belief, readings.range_m(time_s), True, 0).used
