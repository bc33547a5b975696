"""The on-board loop on made flights: every party's fault is named, and healthy flights raise none.

Inertial data of a flight over the small cliff are worked out from its motion; fixes, attitudes and
ranges are the truth with the noise that their models state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import binom

from tests.cliff import ALTIMETER, HEIGHT_SIGMA_M, Flight, Readings, cliff_map
from trn.altimetry.terrain import MapRanges
from trn.altimetry.verdict import Assessment, FixAssessment
from trn.backend.cpu import CpuBackend
from trn.channels.ground_flow import Displacement
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.moon.gravity import ROTATION_RATE_RAD_PER_S, apparent_acceleration
from trn.navigation import filter
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE, NavigationFilter
from trn.navigation.sensors import ImuModel, StarTrackerModel
from trn.navigation.state import POSITION, VELOCITY
from trn.replay.onboard import Altitude, Onboard
from trn.solve.integrity import INTEGRITY_RISK

Array = NDArray[np.float64]

IMU = ImuModel(
    rate_hz=50.0, gyroscope_noise=2e-6, gyroscope_walk=1e-8, gyroscope_bias=5e-7,
    accelerometer_noise=2e-4, accelerometer_walk=1e-5, accelerometer_bias=5e-4,
)  # fmt: skip
STARS = StarTrackerModel(across_rad=3e-5, roll_rad=2e-4)
FIX_SIGMA_M = 12.0
START_SIGMA_M, START_SPEED_SIGMA = 50.0, 0.3

Change = Callable[[float, Array], Array]
EVERY_S = 0.1


def unchanged(time_s: float, value: Array) -> Array:
    return value


@dataclass
class Flown:
    """What came of a flight: (time, ...) for each answer."""

    onboard: Onboard
    ranges: list[tuple[float, Assessment]] = field(default_factory=list)
    fixes: list[tuple[float, FixAssessment]] = field(default_factory=list)
    attitudes: list[tuple[float, bool]] = field(default_factory=list)
    altitudes: list[tuple[float, Altitude | None, float]] = field(default_factory=list)
    errors_m: list[tuple[float, float]] = field(default_factory=list)

    @property
    def alarms(self) -> list[str]:
        return [alarm.kind for alarm in self.onboard.alarms]


def imu_of(flight: Flight, time_s: float) -> tuple[Array, Array]:
    """Angular rate and specific force, (3,) each, vehicle axes, of an attitude that does not turn
    against the Moon."""
    position, velocity, acceleration = flight.motion(time_s)
    force = flight.rotation @ (acceleration - apparent_acceleration(position, velocity))
    return flight.rotation @ np.array([0.0, 0.0, ROTATION_RATE_RAD_PER_S]), force


def run(
    ranges: MapRanges,
    *,
    flight: Flight | None = None,
    begin_s: float = -12.0,
    end_s: float = 14.0,
    seed: int = 1,
    force: Change = unchanged,
    fix: Change = unchanged,
    stars: Change = unchanged,
    fix_from: Callable[[float], float] = lambda time_s: time_s,
    displace: tuple[float, Array] | None = None,
    shift_map: tuple[float, Array] | None = None,
    gap: tuple[float, float] | None = None,
    valid: Callable[[float], bool] = lambda time_s: True,
) -> Flown:
    """Fly, with changes to what the sensors say; times are those of the flight."""
    flight = flight or Flight()
    rng = np.random.default_rng(seed)
    step_s = 1.0 / IMU.rate_hz
    position, velocity, _ = flight.motion(begin_s)
    true_attitude = np.asarray(Rotation.from_matrix(flight.rotation).as_quat())

    def reading_of_stars(time_s: float) -> Array:
        noise = rng.normal(size=3) * [STARS.roll_rad, STARS.across_rad, STARS.across_rad]
        turned = Rotation.from_rotvec(noise) * Rotation.from_quat(true_attitude)
        return stars(time_s, np.asarray(turned.as_quat()))

    started = NavigationFilter.started(
        begin_s, position + rng.normal(0.0, START_SIGMA_M, 3), START_SIGMA_M,
        velocity + rng.normal(0.0, START_SPEED_SIGMA, 3), START_SPEED_SIGMA,
        reading_of_stars(begin_s), IMU, STARS, ranges.below(position).sigma_m,
    )  # fmt: skip
    onboard = Onboard(ranges, ALTIMETER, started)
    flown = Flown(onboard)
    truth = MapRanges(ranges._map, CpuBackend())
    readings = Readings(truth, flight, seed)
    rate_bias = rng.normal(0.0, IMU.gyroscope_bias, 3)
    force_bias = rng.normal(0.0, IMU.accelerometer_bias, 3)
    samples = round(EVERY_S / step_s)
    last: tuple[Array, Array] | None = None
    bridged_s = 0.0
    for k in range(1, round((end_s - begin_s) / EVERY_S) + 1):
        now_s = begin_s + k * EVERY_S
        middles = now_s - EVERY_S + (np.arange(samples) + 0.5) * step_s
        made = [imu_of(flight, t) for t in middles]
        root = math.sqrt(step_s)
        rates = np.array([rate for rate, _ in made]) + rate_bias
        rates += rng.normal(0.0, IMU.gyroscope_noise / root, rates.shape)
        forces = np.array([force(t, made[j][1]) for j, t in enumerate(middles)]) + force_bias
        forces += rng.normal(0.0, IMU.accelerometer_noise / root, forces.shape)
        if gap is not None and gap[0] < now_s <= gap[1] + 1e-9:
            bridged_s += EVERY_S
            if now_s < gap[1] - 1e-9:
                continue
            assert last is not None
            onboard.bridge(bridged_s, last[0], last[1])
        else:
            onboard.propagate(rates, forces, step_s)
            last = rates[-1], forces[-1]
        if displace is not None and abs(now_s - displace[0]) < 0.5 * EVERY_S:
            onboard.displace(displace[1] @ east_north_up(onboard.navigation.state.position_m))
        if shift_map is not None and abs(now_s - shift_map[0]) < 0.5 * EVERY_S:
            ranges.placement = turn_of(shift_map[1], flight.motion(now_s)[0])
        if k % 2 == 0:
            flown.attitudes.append((now_s, onboard.attitude(reading_of_stars(now_s))))
        if k % 10 == 0:
            seen, _, _ = flight.motion(fix_from(now_s))
            placed = np.eye(3) if ranges.placement is None else ranges.placement.T
            noisy = placed @ fix(now_s, seen + rng.normal(0.0, FIX_SIGMA_M, 3))
            flown.fixes.append((now_s, onboard.fix(noisy, FIX_SIGMA_M**2 * np.eye(3))))
        judged = onboard.range(readings.range_m(now_s), valid(now_s), 0)
        flown.ranges.append((now_s, judged))
        here, _, _ = flight.motion(now_s)
        true_altitude = float(np.linalg.norm(here)) - REFERENCE_RADIUS_M
        true_altitude -= truth.below(here).height_m + readings._error_m
        flown.altitudes.append((now_s, onboard.altitude(), true_altitude))
        error = float(np.linalg.norm(onboard.full.state.position_m - here))
        flown.errors_m.append((now_s, error))
    return flown


def turn_of(offset_east_north_m: Array, position_m: Array) -> Array:
    """From believed places to where a map holds them whose ground moved by an offset, (2,)."""
    east, north, _ = east_north_up(position_m)
    moved = offset_east_north_m[0] * east + offset_east_north_m[1] * north
    axis = np.cross(position_m, moved) / float(position_m @ position_m)
    return np.asarray(Rotation.from_rotvec(-axis).as_matrix())


@pytest.fixture
def ranges(cliff: MapRanges) -> MapRanges:
    cliff.placement = None
    return cliff


@pytest.fixture(scope="module")
def healthy(cliff: MapRanges) -> list[Flown]:
    cliff.placement = None
    return [run(cliff, seed=seed) for seed in range(4)]


def test_a_healthy_flight_raises_nothing_and_turns_nothing_away(healthy: list[Flown]) -> None:
    for flown in healthy:
        assert flown.alarms == []
        assert all(judged.used for _, judged in flown.ranges)
        assert all(judged.accepted for _, judged in flown.fixes)
        assert all(taken for _, taken in flown.attitudes)


def test_the_altitudes_protection_level_holds_over_the_cliff(healthy: list[Flown]) -> None:
    beyond = of = 0
    for flown in healthy:
        for time_s, altitude, true_m in flown.altitudes:
            assert altitude is not None
            error = abs(altitude.altitude_m - true_m)
            beyond += error > altitude.protection_level_m
            of += 1
            assert error < 2.0 * altitude.protection_level_m
            assert altitude.protection_level_m > 3.0 * altitude.sigma_m
            # Away from the rim and after the first fixes the level is of use, too.
            if abs(time_s) > 4.0 and time_s > -10.0:
                assert error < 15.0
                assert altitude.protection_level_m < 100.0
    # The stated risk, and as much again, since the errors of neighbouring readings are alike.
    assert beyond <= binom.ppf(0.999, of, 2.0 * INTEGRITY_RISK)


def test_the_positions_protection_level_holds(healthy: list[Flown]) -> None:
    for flown in healthy:
        assert flown.errors_m[-1][1] < flown.onboard.level_of_position() < 150.0


def test_the_baseline_beside_it_is_locked_out_by_the_cliff(healthy: list[Flown]) -> None:
    for flown in healthy:
        baseline = flown.onboard.baseline
        assert baseline is not None and baseline.locked_out_at_s is not None
        assert abs(baseline.locked_out_at_s) < 4.0
        _, _, true_m = flown.altitudes[-1]
        assert baseline.altitude_m < true_m - 2_000.0


def displaced(flown: Flown, share: float = 1.0) -> Displacement:
    """What images show of the flight's last second, with a scale of its own."""
    began_m, ended_m = (Flight().motion(time_s)[0] for time_s in (13.0, 14.0))
    believed_m = flown.onboard.navigation.state_at(13.0).position_m
    return Displacement(share * (ended_m - began_m), 0.2**2 * np.eye(3), believed_m, 150)


def test_a_displacement_is_taken_and_makes_the_velocity_surer(ranges: MapRanges) -> None:
    flown = run(ranges, begin_s=4.0)
    before = [np.trace(flown.onboard.navigation.state.covariance[VELOCITY, VELOCITY])]
    assert flown.onboard.displacement(displaced(flown), 13.0, 14.0)
    for each in (flown.onboard.navigation, flown.onboard.full):
        velocity = each.state.velocity_m_per_s - Flight().motion(14.0)[1]
        assert np.linalg.norm(velocity) < 1.0
        assert np.trace(each.state.covariance[VELOCITY, VELOCITY]) < before[0]


def test_a_displacement_that_does_not_fit_is_left_out(ranges: MapRanges) -> None:
    """By a fifth, of 600 m."""
    flown = run(ranges, begin_s=4.0)
    state = flown.onboard.navigation.state.copy()
    assert not flown.onboard.displacement(displaced(flown, 1.2), 13.0, 14.0)
    assert np.array_equal(flown.onboard.navigation.state.covariance, state.covariance)


def test_a_displacement_over_an_unknown_height_is_left_out(ranges: MapRanges) -> None:
    flown = run(ranges, begin_s=4.0)
    for each in (flown.onboard.navigation, flown.onboard.full):
        each.move(np.zeros(3), 2_000.0)
    assert not flown.onboard.displacement(displaced(flown), 13.0, 14.0)


def test_a_star_tracker_that_is_off_is_left_out_alarmed_and_taken_again(ranges: MapRanges) -> None:
    off = Rotation.from_rotvec([0.0, 0.01, 0.005])

    def stars(time_s: float, quaternion: Array) -> Array:
        wrong = -4.0 < time_s < 4.0
        return np.asarray((off * Rotation.from_quat(quaternion)).as_quat()) if wrong else quaternion

    flown = run(ranges, stars=stars)
    for time_s, taken in flown.attitudes:
        assert taken != (-3.9 < time_s < 3.9) or abs(abs(time_s) - 4.0) < 0.15
    assert set(flown.alarms) == {"star-tracker"}
    assert all(judged.used for _, judged in flown.ranges)


def test_one_odd_attitude_raises_no_alarm(ranges: MapRanges) -> None:
    off = Rotation.from_rotvec([0.0, 0.02, 0.0])

    def stars(time_s: float, quaternion: Array) -> Array:
        wrong = abs(time_s - 0.2) < 0.05
        return np.asarray((off * Rotation.from_quat(quaternion)).as_quat()) if wrong else quaternion

    flown = run(ranges, stars=stars, begin_s=-4.0, end_s=4.0)
    assert [taken for _, taken in flown.attitudes].count(False) == 1
    assert flown.alarms == []


@pytest.mark.parametrize("offset", [(500.0, 0.0, 0.0), (0.0, -400.0, 0.0), (200.0, 300.0, 250.0)])
def test_a_displaced_state_is_named_and_repaired_by_fixes(
    ranges: MapRanges, offset: tuple[float, float, float]
) -> None:
    flown = run(ranges, begin_s=4.0, end_s=24.0, displace=(11.45, np.array(offset)))
    assert set(flown.alarms) == {"navigation"}
    (alarm,) = flown.onboard.alarms
    assert 11.0 < alarm.time_s < 14.6
    # Repaired by the fixes at 12 and 13 s.
    repaired = [error for time_s, error in flown.errors_m if time_s > 15.0]
    assert max(repaired) < 60.0
    late = [judged for time_s, judged in flown.ranges if time_s > 16.0]
    assert all(judged.used for judged in late)
    assert "altimeter" not in {judged.verdict for _, judged in flown.ranges}


def test_a_shifted_map_is_named(cliff_folder: Path) -> None:
    ranges = MapRanges(cliff_map(cliff_folder), CpuBackend())
    flown = run(ranges, begin_s=4.0, end_s=24.0, shift_map=(11.45, np.array([300.0, -700.0])))
    # One fix cannot tell who is wrong; the second does.
    assert set(flown.alarms) <= {"undecided", "map"}
    named = next(alarm for alarm in flown.onboard.alarms if alarm.kind == "map")
    assert 11.0 < named.time_s < 14.0
    # Fixes from a map that moved are not followed.
    assert max(error for _, error in flown.errors_m[60:]) < 100.0


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_of_seven_sigmas_is_seen_as_fixes_share_most_of_their_error(
    cliff_folder: Path, seed: int
) -> None:
    ranges = MapRanges(cliff_map(cliff_folder), CpuBackend())
    shift_m = 7.0 * FIX_SIGMA_M * np.array([0.6, -0.8])
    flown = run(ranges, begin_s=4.0, end_s=20.0, shift_map=(11.45, shift_m), seed=seed)
    before = [judged for time_s, judged in flown.fixes if time_s < 11.0]
    after = [judged for time_s, judged in flown.fixes if 13.0 < time_s < 19.0]
    assert all(judged.accepted for judged in before)
    assert not any(judged.accepted for judged in after)
    assert "map" in flown.alarms


@pytest.mark.parametrize("late_s", [0.4, 1.0])
def test_late_camera_stamps_are_named(ranges: MapRanges, late_s: float) -> None:
    flown = run(
        ranges, begin_s=4.0, end_s=24.0,
        fix_from=lambda time_s: time_s - (late_s if time_s > 11.5 else 0.0),
    )  # fmt: skip
    assert flown.onboard.alarms[0].kind == "clock"
    assert set(flown.alarms) == {"clock"}
    assert 11.0 < flown.onboard.alarms[0].time_s < 16.0
    assert all(judged.used for _, judged in flown.ranges)


def stepped(ranges: MapRanges, step: Array, speed_m_per_s: float, end_s: float, seed: int) -> Flown:
    """A flight whose accelerometers are off by a step, (3,), from 12 s on."""

    def force(time_s: float, value: Array) -> Array:
        return value + step if time_s > 12.0 else value

    flight = Flight(speed_m_per_s=speed_m_per_s)
    return run(ranges, begin_s=4.0, end_s=end_s, force=force, flight=flight, seed=seed)


@pytest.mark.parametrize(("axis", "speed_m_per_s"), [(2, 600.0), (2, 250.0), (0, 250.0)])
def test_an_accelerometer_that_steps_is_alarmed_and_survived(
    ranges: MapRanges, axis: int, speed_m_per_s: float
) -> None:
    """By 1 m/s^2 at 12 s, down the beam or across; errors of fixes fade in 10 and 24 s."""
    flown = stepped(ranges, np.eye(3)[axis], speed_m_per_s, 44.0, 1)
    first_s = next(alarm.time_s for alarm in flown.onboard.alarms if alarm.kind == "imu")
    assert 12.0 < first_s < 32.0
    assert "map" not in flown.alarms and "clock" not in flown.alarms
    assert max(error for time_s, error in flown.errors_m if time_s > 8.0) < 150.0
    assert flown.errors_m[-1][1] < min(60.0, flown.onboard.level_of_position())


def nees_of_fixes(ranges: MapRanges, seeds: range, speed_m_per_s: float) -> Array:
    """Normalised squared errors of the navigated position a degree of freedom, (seeds, fixes).

    Flights with fixes at 1 Hz, each right after it, the first eight left off; what their errors
    share fades over the time in which the lander passes its own altitude.
    """
    flight = Flight(speed_m_per_s=speed_m_per_s)
    begin_s, fixes, step_s = 4.0, 36, 1.0 / IMU.rate_hz
    samples = round(1.0 / step_s)
    times = begin_s + (np.arange(fixes * samples) + 0.5) * step_s
    made = [imu_of(flight, t) for t in times]
    rates = np.array([rate for rate, _ in made]).reshape(fixes, samples, 3)
    forces = np.array([force for _, force in made]).reshape(fixes, samples, 3)
    motions = [flight.motion(begin_s + k) for k in range(fixes + 1)]
    attitude = np.asarray(Rotation.from_matrix(flight.rotation).as_quat())
    found = np.empty((len(seeds), fixes))
    for row, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        started = NavigationFilter.started(
            begin_s, motions[0][0] + rng.normal(0.0, START_SIGMA_M, 3), START_SIGMA_M,
            motions[0][1] + rng.normal(0.0, START_SPEED_SIGMA, 3), START_SPEED_SIGMA,
            attitude, IMU, STARS, HEIGHT_SIGMA_M,
        )  # fmt: skip
        onboard = Onboard(ranges, ALTIMETER, started)
        rate_bias = rng.normal(0.0, IMU.gyroscope_bias, 3)
        force_bias = rng.normal(0.0, IMU.accelerometer_bias, 3)
        error_m = rng.normal(0.0, FIX_SIGMA_M * math.sqrt(VIEW_SHARE), 3)
        all_m = rng.normal(0.0, FIX_SIGMA_M * math.sqrt(ALL_SHARE), 3)
        for k in range(fixes):
            noise = rng.normal(0.0, 1.0 / math.sqrt(step_s), (2, samples, 3))
            onboard.propagate(
                rates[k] + rate_bias + IMU.gyroscope_noise * noise[0],
                forces[k] + force_bias + IMU.accelerometer_noise * noise[1],
                step_s,
            )
            here = motions[k + 1][0]
            altitude_m = float(np.linalg.norm(here)) - REFERENCE_RADIUS_M
            altitude_m -= ranges.below(here).height_m
            rho = math.exp(-speed_m_per_s / altitude_m)
            common = FIX_SIGMA_M * math.sqrt(VIEW_SHARE * (1.0 - rho**2))
            error_m = rho * error_m + rng.normal(0.0, common, 3)
            own_m = rng.normal(0.0, FIX_SIGMA_M * math.sqrt(1.0 - VIEW_SHARE - ALL_SHARE), 3)
            onboard.fix(here + all_m + error_m + own_m, FIX_SIGMA_M**2 * np.eye(3))
            state = onboard.navigation.state
            off = state.position_m - here
            found[row, k] = off @ np.linalg.solve(state.covariance[POSITION, POSITION], off) / 3.0
        assert onboard.alarms == []
    return found[:, 8:]


@pytest.mark.parametrize("speed_m_per_s", [250.0, 800.0])
def test_fixes_whose_views_overlap_leave_an_honest_state_and_would_not_if_taken_as_independent(
    ranges: MapRanges, monkeypatch: pytest.MonkeyPatch, speed_m_per_s: float
) -> None:
    seeds = range(12)
    assert 0.6 < nees_of_fixes(ranges, seeds, speed_m_per_s).mean() < 1.5
    monkeypatch.setattr(filter, "VIEW_SHARE", 0.0)
    monkeypatch.setattr(filter, "ALL_SHARE", 0.0)
    assert nees_of_fixes(ranges, seeds, speed_m_per_s).mean() > 2.0


def test_one_wrong_fix_is_turned_away_in_silence(ranges: MapRanges) -> None:
    def fix(time_s: float, position: Array) -> Array:
        return position + (np.array([300.0, 250.0, -350.0]) if abs(time_s - 12.0) < 0.05 else 0.0)

    flown = run(ranges, begin_s=4.0, end_s=20.0, fix=fix)
    assert [round(t) for t, judged in flown.fixes if not judged.accepted] == [12]
    assert flown.alarms == []
    assert max(error for time_s, error in flown.errors_m if time_s > 8.0) < 60.0


@pytest.mark.parametrize("gap_s", [0.5, 2.0])
def test_a_gap_in_the_inertial_data_is_bridged(ranges: MapRanges, gap_s: float) -> None:
    flown = run(ranges, begin_s=4.0, end_s=20.0, gap=(10.0, 10.0 + gap_s))
    assert flown.onboard.time_s == pytest.approx(20.0)
    assert flown.alarms == []
    assert all(judged.used for time_s, judged in flown.ranges if time_s > 11.0 + gap_s)
    for _, altitude, true_m in flown.altitudes:
        assert altitude is not None
        assert abs(altitude.altitude_m - true_m) < altitude.protection_level_m


def test_a_bridge_makes_less_sure(ranges: MapRanges) -> None:
    flown = run(ranges, begin_s=4.0, end_s=8.0)
    onboard = flown.onboard
    before = onboard.belief()
    rate, force = imu_of(Flight(), 8.0)
    onboard.bridge(2.0, rate, force)
    after = onboard.belief()
    assert after.time_s == pytest.approx(before.time_s + 2.0)
    assert after.velocity_sigma_m_per_s > before.velocity_sigma_m_per_s + 1.0
    assert after.witness_sigma_m > before.witness_sigma_m
    true_m, _, _ = Flight().motion(10.0)
    assert np.linalg.norm(after.position_m - true_m) < 100.0


def test_a_camera_without_fixes_for_long_is_called_blind(ranges: MapRanges) -> None:
    onboard = run(ranges, begin_s=4.0, end_s=6.0).onboard
    rate, force = imu_of(Flight(), 6.0)
    for _ in range(25):
        onboard.propagate(np.tile(rate, (25, 1)), np.tile(force, (25, 1)), 0.02)
        onboard.no_fix("too dark")
    assert [alarm.kind for alarm in onboard.alarms] == ["camera"]
    assert "too dark" in onboard.alarms[0].text


def test_silent_altimeter_raises_its_alarm_once(ranges: MapRanges) -> None:
    onboard = run(ranges, begin_s=4.0, end_s=6.0).onboard
    rate, force = imu_of(Flight(), 6.0)
    for _ in range(60):
        onboard.propagate(np.tile(rate, (5, 1)), np.tile(force, (5, 1)), 0.02)
        onboard.range(0.0, False, 0)
    (alarm,) = onboard.alarms
    assert alarm.kind == "altimeter-silent"
    # Within 2 s of the first reading that is missed.
    assert alarm.time_s < 8.0


def test_first_ranges_after_silence_move_the_altitude_by_less_than_its_sigma(
    ranges: MapRanges,
) -> None:
    def too_high(time_s: float, position: Array) -> Array:
        return position * (1.0 + 25.0 / float(np.linalg.norm(position)))

    late, silent = (
        run(ranges, end_s=-2.0, fix=too_high, valid=valid)
        for valid in (lambda time_s: time_s > -4.0, lambda time_s: False)
    )
    first = next(k for k, (_, judged) in enumerate(late.ranges) if judged.used)
    assert late.ranges[first][0] == pytest.approx(-3.9)
    # Against the same flight without ranges: the ground's own changes are no jump.
    known = [(a, b) for (_, a, _), (_, b, _) in zip(late.altitudes, silent.altitudes) if a and b]
    moved = [a.altitude_m - b.altitude_m for a, b in known]
    for k in range(first, first + 5):
        assert abs(moved[k] - moved[k - 1]) <= known[k - 1][0].sigma_m
    # Not for want of a reason to move.
    assert abs(moved[first]) > 1.0
    assert abs(moved[-1]) > 10.0


@pytest.mark.parametrize("beam", [-1, 2, 10**9])
def test_a_beam_that_the_altimeter_has_not_is_read_as_its_first(
    ranges: MapRanges, beam: int
) -> None:
    onboard = run(ranges, begin_s=4.0, end_s=6.0).onboard
    twin = run(ranges, begin_s=4.0, end_s=6.0).onboard
    assert onboard.range(5_900.0, True, beam) == twin.range(5_900.0, True, 0)


def test_two_flights_alike_end_alike(ranges: MapRanges) -> None:
    one = run(ranges, begin_s=-2.0, end_s=2.0)
    other = run(ranges, begin_s=-2.0, end_s=2.0)
    assert [judged for _, judged in one.ranges] == [judged for _, judged in other.ranges]
    assert (
        one.onboard.full.state.position_m.tolist() == other.onboard.full.state.position_m.tolist()
    )


def test_a_flight_over_no_map_has_no_altitude(ranges: MapRanges) -> None:
    flight = replace(Flight(), latitude_deg=11.6)
    onboard = run(ranges, flight=flight, begin_s=4.0, end_s=4.0).onboard
    assert onboard.altitude() is None
