"""What runs on board: filters kept apart, the cross-check, and the baseline, fed in time order.

Three navigations go side by side: `navigation` takes star tracker and image fixes, `full` ranges
as well, and the `witness` nothing since it was copied from a verified state. The altimeter is
checked against the first, the first against the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.baseline import BaselineFilter, BaselineSettings
from trn.altimetry.belief import Belief, FixEvidence
from trn.altimetry.crosscheck import CrossCheck
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.linear import linear_range
from trn.altimetry.terrain import MapRanges
from trn.altimetry.verdict import (
    ALTIMETER,
    CONSISTENT,
    NAVIGATION,
    Assessment,
    FixAssessment,
)
from trn.channels.ground_flow import Displacement
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.navigation.accelerometer_watch import AccelerometerWatch
from trn.navigation.dead_reckoning import DeadReckoning
from trn.navigation.delayed import DelayedFilter
from trn.navigation.filter import MapErrorModel, NavigationFilter
from trn.navigation.state import ATTITUDE, POSITION, SIZE, TERRAIN, VELOCITY
from trn.solve.integrity import INTEGRITY_RISK, mixture_level, protection_levels

Array = NDArray[np.float64]

WITNESS_FLOOR_M = 5.0
RESET_VELOCITY_SIGMA_M_PER_S = 2.0
RESET_DOUBT = 4.0
"""By how much the covariance of a fix is multiplied where the state is moved to it."""
UNSHARED = 0.4
"""Share of a fix's variance by which it may differ from those before it beyond what the filter
supposes: how much they share depends on ground, light and camera."""
STAR_TRACKER_GATE = 35.0
"""Normalised innovation squared of three degrees of freedom: 1e-7 of right readings exceed it."""
DISPLACEMENT_GATE = 35.0
"""The same of a displacement seen in images."""
MOST_HEIGHT_SIGMA = 0.1
"""Over the height: where it or the ground is known less well, what images say of the velocity is
left out."""
DISPLACEMENT_FLOOR_M_PER_S = 0.05
"""1 sigma an axis of what they say at best: stamps, lens and ground are not known better."""
DISPLACEMENT_SCALE = 0.001
"""1 sigma, of the displacement: of corners followed over ground that comes nearer
(bench.fix_errors)."""
ALARM_RUN, ALARM_OF = 3, 5
"""Readings, of so many last ones, that make an alarm."""
CLEAR_S = 5.0
DRIFT_ACCELERATION_M_PER_S2, DRIFT_M_PER_S = 1.0, 10.0
"""1 sigma of an accelerometer's bias, and of the velocity, after dead reckoning drifted."""
BLIND_S = 10.0
"""Without a fix that should have come for this long, the camera is called blind."""
DUE_PIXELS = 20.0
"""Fixes are due from this many map pixels up: lower down a view holds too few of them."""
PROBATION_AFTER_S, PROBATION_RANGES = 2.0, 5
"""After so long without a range taken, so many are taken with care."""
MOST_JUMP_SIGMAS = 0.9
"""By how much, in its own 1 sigma, one of these may move the altitude."""
GAP_ACCELERATION_M_PER_S2 = 1.0
GAP_RATE_RAD_PER_S = 0.02


@dataclass(frozen=True)
class Alarm:
    """Something the operator must know: time, kind, and a sentence."""

    time_s: float
    kind: str
    text: str


@dataclass(frozen=True, eq=False)
class Altitude:
    """Altitude over the terrain straight below, its sigma and protection level, metres."""

    altitude_m: float
    sigma_m: float
    protection_level_m: float


@dataclass(frozen=True, eq=False)
class _KnownAltitude:
    """Altitude and its sigma by one navigation; by_error: (SIZE,), altitude by its errors."""

    altitude_m: float
    sigma_m: float
    by_error: Array


@dataclass
class _AlarmBook:
    """Which alarms stand, so that each is raised once."""

    alarms: list[Alarm] = field(default_factory=list)
    last_s: dict[str, float] = field(default_factory=dict)

    def raise_alarm(self, time_s: float, kind: str, text: str) -> None:
        last = self.last_s.get(kind)
        if last is None or time_s - last > CLEAR_S:
            self.alarms.append(Alarm(time_s, kind, text))
        self.last_s[kind] = time_s


class Onboard:
    """Feeds sensors to filters and cross-check; knows nothing of the truth."""

    def __init__(
        self,
        ranges: MapRanges,
        altimeter: AltimeterModel,
        started: NavigationFilter,
        baseline: BaselineSettings | None = None,
    ) -> None:
        self.ranges = ranges
        self._imu_rate_hz = started.imu.rate_hz
        self.altimeter = altimeter
        self.boresights = altimeter.boresights()
        self.navigation = DelayedFilter(started)
        self.full = self.navigation.copy()
        self.witness = self.navigation.copy()
        self._witness_sigma_m = WITNESS_FLOOR_M
        self._witness_since_s = started.state.time_s
        self._fixed_s = started.state.time_s
        self._fix_wanted_since_s: float | None = None
        self.crosscheck = CrossCheck(ranges, altimeter)
        # The baseline's lander has no camera: what carries it is never corrected by fixes.
        self._reckoned = DeadReckoning(started.state)
        self.baseline: BaselineFilter | None = None
        self._baseline_settings = baseline or BaselineSettings()
        self._map_errors = self._map_errors_at(started.state.position_m)
        self._accelerometers = AccelerometerWatch()
        self._book = _AlarmBook()
        self._recent: list[str] = []
        self._altimeter_probability = 0.0
        self._star_strikes = 0
        self._tangent = 0.0
        self._ranged_s: float | None = None
        self._probation = 0
        self._claimed_m = math.inf
        self._blamed: list[str] = []

    @property
    def alarms(self) -> list[Alarm]:
        """Alarms so far, in time order."""
        return self._book.alarms

    @property
    def fixes_turned_away(self) -> int:
        """Fixes turned away since the last one that was taken."""
        return len(self._blamed)

    @property
    def time_s(self) -> float:
        """Time of the navigation state."""
        return self.navigation.state.time_s

    def _filters(self) -> tuple[DelayedFilter, ...]:
        return self.navigation, self.full, self.witness

    def _map_errors_at(self, position_m: Array) -> MapErrorModel:
        """Views overlap until the lander has passed its altitude over the ground."""
        return MapErrorModel(
            self.ranges.below(position_m).sigma_m,
            self.ranges.correlation_length_m,
            max(self.ranges.height_over_m(position_m), 1.0),
        )

    # --- inertial unit and star tracker ----------------------------------------------------------

    def propagate(self, rates: Array, forces: Array, step_s: float) -> None:
        """Inertial samples, (N, 3) each, a step long each."""
        before_m = float(np.linalg.norm(self._reckoned.position_m))
        self._reckoned.propagate(rates, forces, step_s)
        for each in self._filters():
            each.propagate(rates, forces, step_s, self._map_errors)
        if self.baseline is not None:
            after_m = float(np.linalg.norm(self._reckoned.position_m))
            self.baseline.carry(after_m - before_m)

    def bridge(self, gap_s: float, rate: Array, force: Array) -> None:
        """Carry on over a gap in the inertial data with its last sample, less sure of itself."""
        steps = max(1, math.ceil(gap_s * self._imu_rate_hz - 1e-6))
        self.propagate(np.tile(rate, (steps, 1)), np.tile(force, (steps, 1)), gap_s / steps)
        for each in self._filters():
            each.widen(GAP_ACCELERATION_M_PER_S2 * gap_s, GAP_RATE_RAD_PER_S * gap_s, gap_s)
        self._witness_sigma_m += 0.5 * GAP_ACCELERATION_M_PER_S2 * gap_s**2

    def attitude(self, quaternion_xyzw: Array) -> bool:
        """A star tracker reading; returns whether it was taken."""
        nis = self.navigation.attitude_innovation(quaternion_xyzw).nis
        if nis > STAR_TRACKER_GATE:
            self._star_strikes += 1
            if self._star_strikes >= 2:
                self._book.raise_alarm(
                    self.time_s,
                    "star-tracker",
                    "The star tracker's attitude does not fit the gyroscopes; it is left out "
                    "until it does.",
                )
            return False
        self._star_strikes = 0
        self._reckoned.turn_to(quaternion_xyzw)
        for each in self._filters():
            each.update_attitude(quaternion_xyzw)
        return True

    # --- image fixes -----------------------------------------------------------------------------

    def belief(self, time_s: float | None = None) -> Belief:
        """What the cross-check is told of now, or of an earlier moment that is still remembered."""
        at_s = self.time_s if time_s is None else time_s
        state, witness = self.navigation.state_at(at_s), self.witness.state_at(at_s)
        kept = np.r_[POSITION, ATTITUDE]
        speed = state.covariance[VELOCITY, VELOCITY]
        speed_sigma = math.sqrt(float(np.trace(speed)) / 3.0)
        # The witness goes on with the velocity it had: what images have shown since is not in it.
        drifting = witness.covariance[VELOCITY, VELOCITY]
        drift_sigma = max(math.sqrt(float(np.trace(drifting)) / 3.0), speed_sigma)
        age_s = max(state.time_s - self._witness_since_s, 0.0)
        return Belief(
            state.time_s,
            state.position_m,
            state.velocity_m_per_s,
            state.rotation,
            state.covariance[np.ix_(kept, kept)],
            speed_sigma,
            witness.position_m,
            math.hypot(self._witness_sigma_m, drift_sigma * age_s),
            max(state.time_s - self._fixed_s, 0.0),
        )

    def fix(
        self,
        position_m: Array,
        covariance_m2: Array,
        time_s: float | None = None,
        channel_separation: float | None = None,
    ) -> FixAssessment:
        """An image fix of an exposure: judged, and taken where it holds, at its own time.

        channel_separation: of landmarks and craters, see `trn.fix.PositionFix`.

        time_s: of the exposure, None for now; less than half an inertial step ago is now. Raises
        ValueError for one in the future or longer ago than `trn.navigation.delayed.HISTORY_S`.
        """
        now_s = self.time_s
        if time_s is None or abs(now_s - time_s) <= 0.5 / self._imu_rate_hz:
            time_s = now_s
        belief = self.belief(time_s)
        # What fixes share, and earlier ones have shown, is no sign of anything new.
        innovation = self.navigation.position_innovation_at(time_s, position_m, covariance_m2)
        evidence = FixEvidence(
            time_s,
            innovation.residual,
            innovation.residual + belief.position_m - belief.witness_m,
            innovation.covariance + UNSHARED * covariance_m2,
            covariance_m2,
            belief.velocity_m_per_s,
            belief.position_m / np.linalg.norm(belief.position_m),
            belief.unaided_s,
            channel_separation or 0.0,
        )
        judged = self.crosscheck.assess_fix(belief, evidence)
        self._fix_wanted_since_s = None
        if judged.accepted:
            self._take_fix(position_m, evidence)
        elif judged.reset:
            self._reset(position_m, evidence)
            if judged.drifted:
                self._doubt_accelerometers()
        self._report_fix(judged, evidence)
        return judged

    def no_fix(self, reason: str) -> None:
        """A frame that gave no fix: an alarm, where fixes are due and do not come for long."""
        if self.ranges.height_over_m(self.navigation.state.position_m) < DUE_PIXELS * (
            self.ranges.pixel_m
        ):
            self._fix_wanted_since_s = None
        elif self._fix_wanted_since_s is None:
            self._fix_wanted_since_s = self.time_s
        elif self.time_s - self._fix_wanted_since_s >= BLIND_S:
            self._book.raise_alarm(
                self.time_s, "camera", f"No image fix for {BLIND_S:.0f} s: {reason}"
            )

    def displacement(self, seen: Displacement, before_s: float, after_s: float) -> bool:
        """A movement that two exposures show; returns whether it was taken.

        before_s, after_s: of the exposures, within `trn.navigation.delayed.HISTORY_S`; else a
        ValueError. Its mean velocity counts at the time between. The witness stays dead reckoning.
        """
        span_s = after_s - before_s
        middle_s = before_s + 0.5 * span_s
        velocity = seen.offset_m / span_s
        height_m = max(self.ranges.height_over_m(seen.begin_m), 1.0)
        up = seen.begin_m / np.linalg.norm(seen.begin_m)
        known = self.navigation.state.covariance[POSITION, POSITION]
        map_sigma_m = self.ranges.below(seen.begin_m).sigma_m
        if math.hypot(math.sqrt(float(up @ known @ up)), map_sigma_m) > (
            MOST_HEIGHT_SIGMA * height_m
        ):
            return False
        # The map's error averages out over a view about as wide as the height.
        averaged = min(self.ranges.correlation_length_m / height_m, 1.0)
        ground_m = averaged * map_sigma_m
        # Frames whose views overlap share this error, and count here as if they did not.
        sharing = 1.0 + 2.0 * height_m / max(float(np.linalg.norm(seen.offset_m)), 1.0)
        scale = math.sqrt(sharing) * math.hypot(DISPLACEMENT_SCALE, ground_m / height_m)
        covariance = seen.covariance_m2 / span_s**2 + scale**2 * np.outer(velocity, velocity)
        floor = DISPLACEMENT_FLOOR_M_PER_S**2 + DISPLACEMENT_SCALE**2 * float(velocity @ velocity)
        covariance = covariance + floor * np.eye(3)

        filters, places = (self.navigation, self.full), []
        for each in filters:
            began_m = each.state_at(before_s).position_m
            places.append(each.state_at(middle_s).position_m + seen.begin_m - began_m)
        nis = self.navigation.velocity_innovation_at(
            middle_s, velocity, covariance, places[0], height_m
        ).nis
        if not nis <= DISPLACEMENT_GATE:
            return False
        for each, place in zip(filters, places, strict=True):
            each.update_velocity_at(middle_s, velocity, covariance, place, height_m)
        return True

    def _take_fix(self, position_m: Array, evidence: FixEvidence) -> None:
        covariance = evidence.fix_covariance_m2
        self._map_errors = self._map_errors_at(position_m)
        before = self.navigation.state_at(evidence.time_s)
        for each in (self.navigation, self.full):
            each.update_position_at(evidence.time_s, position_m, covariance)
        after = self.navigation.state_at(evidence.time_s)
        speed = max(float(np.linalg.norm(evidence.velocity_m_per_s)), 1.0)
        fades_s = self._map_errors.view_length_m / speed
        if self._accelerometers.stepped(position_m, covariance, fades_s, before, after):
            self._doubt_accelerometers()
        self._fixed_s = max(evidence.time_s, self._fixed_s)
        self._restart_witness()

    def _doubt_accelerometers(self) -> None:
        self._accelerometers.restart()
        for each in (self.navigation, self.full):
            each.doubt_accelerometers(DRIFT_ACCELERATION_M_PER_S2, DRIFT_M_PER_S)
        self._book.raise_alarm(
            self.time_s,
            "imu",
            "Dead reckoning moves off the image fixes ever faster: an accelerometer is wrong; its "
            "bias is estimated anew.",
        )

    def _restart_witness(self) -> None:
        """From the last verified state on: what has befallen the navigation since is not in it."""
        verified_s = self._fixed_s
        before_m = self.witness.state.position_m.copy()
        self.witness.adopt_at(verified_s, self.navigation)
        self._witness_since_s = verified_s
        known = self.navigation.state_at(verified_s).covariance[POSITION, POSITION]
        self._witness_sigma_m = WITNESS_FLOOR_M + math.sqrt(float(np.trace(known)) / 3.0)
        self.crosscheck.witness_restarted(self.witness.state.position_m - before_m)

    def _reset(self, position_m: Array, evidence: FixEvidence) -> None:
        """Move the navigated state to fixes that agree, and start the witness there."""
        self._accelerometers.restart()
        for each in (self.navigation, self.full):
            each.reset_position_at(
                evidence.time_s,
                position_m,
                RESET_DOUBT * evidence.fix_covariance_m2,
                RESET_VELOCITY_SIGMA_M_PER_S,
            )
        self._fixed_s = max(evidence.time_s, self._fixed_s)
        self._restart_witness()
        self.crosscheck.navigation_reset()

    def _report_fix(self, judged: FixAssessment, evidence: FixEvidence) -> None:
        if judged.party == CONSISTENT:
            self._blamed.clear()
            return
        self._blamed.append(judged.party)
        off_m = float(np.linalg.norm(evidence.from_navigation_m))
        text = {
            NAVIGATION: f"The navigated position was {off_m:,.0f} m off image fixes that agree; "
            "it was moved to them.",
            "map": f"Image fixes jumped by {off_m:,.0f} m, which dead reckoning cannot have done: "
            "the map is wrong.",
            "camera": f"An image fix is {off_m:,.0f} m off and nothing bears it out.",
            "clock": f"Image fixes are {off_m:,.0f} m off along the flight: the camera's time "
            "stamps are wrong.",
        }.get(judged.party, f"An image fix is {off_m:,.0f} m off; who is wrong cannot be told.")
        # One odd fix is turned away in silence; who errs again is named.
        again = self._blamed[-2:] == [judged.party] * 2
        if (judged.reset and not judged.drifted) or (again and judged.party != NAVIGATION):
            self._book.raise_alarm(self.time_s, judged.party, text)

    # --- altimeter -------------------------------------------------------------------------------

    def range(self, range_m: float, valid: bool, beam: int) -> Assessment:
        """A reading of the altimeter of this moment: judged, and taken where it holds."""
        state = self.navigation.state
        beam = beam if 0 <= beam < len(self.boresights) else 0
        self._map_errors = self._map_errors_at(state.position_m)
        belief = self.belief()
        judged = self.crosscheck.assess(belief, range_m, valid, beam)
        level = self.level(beam)
        self._tangent = math.sqrt(max(1.0 / max(level, 0.05) ** 2 - 1.0, 0.0))
        if judged.used:
            self._take_range(range_m, self.boresights[beam])
        self._altimeter_probability = judged.probabilities[ALTIMETER]
        self._report_range(judged)
        self._feed_baseline(range_m, valid, level)
        return judged

    def level(self, beam: int) -> float:
        """Cosine of the beam's angle off nadir."""
        state = self.navigation.state
        direction = state.rotation.T @ self.boresights[beam]
        return max(
            -float(direction @ state.position_m) / float(np.linalg.norm(state.position_m)), 0.0
        )

    def _take_range(self, range_m: float, boresight: Array) -> None:
        state = self.full.state
        linear = linear_range(
            self.ranges, state.position_m, state.rotation, state.covariance[POSITION, POSITION],
            boresight,
        )  # fmt: skip
        if linear is None:
            return
        jacobian = np.zeros(SIZE)
        jacobian[POSITION] = linear.by_position
        jacobian[ATTITUDE] = linear.by_attitude
        jacobian[TERRAIN] = linear.by_terrain
        residual = range_m - linear.expected_m - linear.by_terrain * state.terrain_m
        noise = self.altimeter.variance_m2(range_m, 0.1) + linear.variance_m2
        self.full.update_range(residual, jacobian, noise + self._reserve(residual, jacobian, noise))
        known = self._altitude_of(self.full) if self._probation else None
        self._claimed_m = math.inf if known is None else known.sigma_m

    def _reserve(self, residual_m: float, jacobian: Array, variance_m2: float) -> float:
        """Variance to add to a range's, so that a sensor on probation makes the altitude no jump.

        The first ranges after a time without any move it by a share of its own sigma at most, each,
        of now or after the range before, whichever is less; those that go on to agree soon have it
        where they want it (a bounded influence function: Huber 1964, Ann. Math. Stat. 35).
        jacobian: (SIZE,), range by error.
        """
        now_s = self.full.state.time_s
        silent = self._ranged_s is None or now_s - self._ranged_s > PROBATION_AFTER_S
        self._probation = PROBATION_RANGES if silent else max(self._probation - 1, 0)
        if silent:
            self._claimed_m = math.inf
        self._ranged_s = now_s
        known = self._altitude_of(self.full) if self._probation else None
        if known is None:
            return 0.0
        covariance = self.full.state.covariance
        moved_m = abs(float(known.by_error @ covariance @ jacobian) * residual_m)
        innovation = float(jacobian @ covariance @ jacobian) + variance_m2
        claimed_m = min(known.sigma_m, self._claimed_m)
        return max(moved_m / (MOST_JUMP_SIGMAS * claimed_m) - innovation, 0.0)

    def _report_range(self, judged: Assessment) -> None:
        self._recent = [*self._recent[1 - ALARM_OF :], judged.verdict]
        if judged.verdict == CONSISTENT:
            return
        if (
            self._recent.count(judged.verdict) >= ALARM_RUN
            and judged.probabilities["undecided"] < 1
        ):
            kind = judged.verdict
            if judged.kind == "silent":
                kind = "altimeter-silent"
            self._book.raise_alarm(judged.time_s, kind, judged.sentence)

    def _feed_baseline(self, range_m: float, valid: bool, level: float) -> None:
        if not valid:
            return
        if self.baseline is None:
            self.baseline = BaselineFilter(range_m * level, self._baseline_settings)
        self.baseline.correct(self.time_s, range_m, level)

    def displace(self, offset_m: Array) -> None:
        """Move the navigated state, (3,), unknown to it; the witness stays: a fault to be found."""
        for each in (self.navigation, self.full):
            each.move(offset_m, 0.0)

    # --- what is known ---------------------------------------------------------------------------

    def altitude(self) -> Altitude | None:
        """Altitude over the terrain straight below; None where the map has none there.

        The protection level is that of a mixture: the full solution where the altimeter is right,
        the one without it where it is not, each with its posterior.
        """
        full, alone = (self._altitude_of(each) for each in (self.full, self.navigation))
        if full is None or alone is None:
            return None
        apart_m = alone.altitude_m - full.altitude_m
        level = mixture_level(
            [(1.0 - self._altimeter_probability, 0.0, full.sigma_m),
             (self._altimeter_probability, apart_m, alone.sigma_m)],
            INTEGRITY_RISK,
        )  # fmt: skip
        return Altitude(full.altitude_m, full.sigma_m, level)

    def level_of_position(self) -> float:
        """3-D protection level of the full solution's position, metres."""
        axes = east_north_up(self.full.state.position_m)
        covariance = self.full.state.covariance[POSITION, POSITION]
        return math.hypot(*protection_levels(axes @ covariance @ axes.T))

    def _altitude_of(self, each: DelayedFilter) -> _KnownAltitude | None:
        """Altitude by one navigation."""
        state = each.state
        ground = self.ranges.below(state.position_m)
        if not math.isfinite(ground.height_m):
            return None
        radius = float(np.linalg.norm(state.position_m))
        height = radius - REFERENCE_RADIUS_M
        altitude = height - ground.height_m
        # What the beam has learnt of the ground counts the less, the farther off it looks.
        away_m = max(altitude - state.terrain_m, 0.0) * self._tangent
        near = math.exp(-away_m / self.ranges.correlation_length_m)
        by_error = np.zeros(SIZE)
        by_error[POSITION] = state.position_m / radius - ground.gradient
        by_error[TERRAIN] = -near
        variance = float(by_error @ state.covariance @ by_error)
        variance += (1.0 - near**2) * ground.sigma_m**2
        return _KnownAltitude(
            altitude - near * state.terrain_m, math.sqrt(max(variance, 1e-6)), by_error
        )
