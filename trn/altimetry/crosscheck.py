"""The cross-check: is the altimeter wrong, the navigation, the map, or none of them?

Each reading is weighed together with those before it (`trn.altimetry.evidence`) and with the image
fixes (`trn.altimetry.fix_evidence`) under every explanation; the posterior decides the verdict.
Nothing is shut out for good: a reading that agrees again is taken again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief, FixEvidence
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.fix_evidence import fix_likelihoods, log_normal
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.profile import (
    LONGEST,
    LONGEST_TEST,
    SLOTS,
    Candidates,
    Reading,
    spread_points,
)
from trn.altimetry.silence import SilenceWatch
from trn.altimetry.suppositions import (
    DRIFT_INDEX,
    FAULTS,
    KINDS,
    SUPPOSED,
    run_evidence,
)
from trn.altimetry.suspicion import Suspicion
from trn.altimetry.terrain import Ground, MapRanges
from trn.altimetry.verdict import (
    ALTIMETER,
    CONSISTENT,
    MAP,
    NAVIGATION,
    UNDECIDED,
    VERDICTS,
    Assessment,
    FixAssessment,
    sentence_of,
)
from trn.altimetry.weighed import Weighed
from trn.moon.frames import east_north_up

Array = NDArray[np.float64]

NEAR_PLACES = 32
FIX_PLACES = 12
TESTS = (1, 2, 4, 8, 16, LONGEST_TEST)
"""Numbers of last readings that are weighed as a run of their own."""

STUCK_RUNS = (4, 8, 16, LONGEST_TEST)
ELSEWHERE_RUNS = (2, 4, 8, 16, LONGEST_TEST)

DECIDED = 0.8
"""Least posterior of a party to be named."""

# Prior log odds against "all is well", at each reading; an altimeter's: `trn.altimetry.suspicion`.
STATE_PRIOR, DRIFT_PRIOR, MAP_PRIOR = -10.0, -10.0, -13.0
CLOCK_PRIOR, CAMERA_PRIOR = -12.0, -7.0
HEIGHT_DRIFT_PRIOR = -13.0
"""Of a drift that ranges alone would tell."""

AGREEING: tuple[tuple[int, float], ...] = ((5, 2.0), (8, -1.0))
"""Last readings, and the log odds by which a fault must rather have ended than go on: suspicion
decays, and where the ground is too rough to tell the sensor gets the benefit of the doubt."""
AGREEING_SLACK = 1.0
"""Log odds by which the last readings may speak for a fault of their own, as chance has it."""
AGREEING_ALONE = (1, 2.0)
"""The same after a reading or two that were off."""
MOST_SPIKES = 4
FIX_MEMORY_S = 3.0
MOST_FIXES = 5
SUSPICION_S = 20.0
"""Fixes that err as those before them are turned away for so long without a trial of their own."""
MOVED_SIGMAS = 0.3
DUE = 0.99
"""Least probability that the ground is within reach for a range to be due."""


class CrossCheck:
    """Weighs readings of one altimeter, and image fixes, against navigation and map."""

    def __init__(self, ranges: MapRanges, altimeter: AltimeterModel) -> None:
        self.ranges = ranges
        self.altimeter = altimeter
        self._boresights = altimeter.boresights()
        self._readings: list[Reading] = []
        self._near: Candidates | None = None
        self._near_at: tuple[Array, Array] | None = None
        self._vertical_at: tuple[Belief, Candidates, tuple[Array, float]] | None = None
        self._near_points = spread_points(NEAR_PLACES)
        self._fix_points = spread_points(FIX_PLACES)
        self._silence = SilenceWatch(altimeter.dropouts)
        self._fixes: list[FixEvidence] = []
        self._trusted_fix: FixEvidence | None = None
        self._suspicion = Suspicion()
        self._edition = ranges.edition
        self._distance_m = 0.0
        self._last_s: float | None = None
        self._serial = 0

    # --- what the navigation tells ---------------------------------------------------------------

    def witness_restarted(self, shift_m: Array) -> None:
        """The witness was started anew; shift_m: (3,), its new place minus its old one."""
        for reading in self._readings:
            reading.witness_m = reading.witness_m + shift_m
        self._near = None

    def navigation_reset(self) -> None:
        """The navigated state was moved: fixes held against it are settled."""
        self._fixes.clear()
        self._trusted_fix = None
        self._near = None

    def assess_fix(self, belief: Belief, evidence: FixEvidence) -> FixAssessment:
        """Judge an image fix, before the navigation takes it."""
        # Map or navigation may be right again: readings that told against them then do not now.
        weighed = self._weigh_all(belief, [evidence], self._unexplained())
        posterior = weighed.of_fix()
        accepted = posterior[CONSISTENT] > 0.5 and not self._goes_on(evidence)
        if not accepted and self._fixes:
            weighed = self._weigh_all(belief, [*self._fixes, evidence], self._readings)
            posterior = weighed.of_fix()
        if accepted:
            self._fixes.clear()
            self._readings = self._unexplained()
            self._trusted_fix = evidence
            # Places are spread anew around what the navigation makes of the fix.
            self._near = None
            return FixAssessment(CONSISTENT, posterior[CONSISTENT], True, False, False)
        # The first of the run stays: whether they came off at once is told by it.
        self._fixes = [*self._fixes[:1], *self._fixes[1:][2 - MOST_FIXES :], evidence]
        blamed = {name: p for name, p in posterior.items() if name != CONSISTENT}
        party = max(blamed, key=lambda name: blamed[name])
        if blamed[party] < DECIDED:
            return FixAssessment(UNDECIDED, blamed[party], False, False, False)
        reset = party == NAVIGATION and len(self._fixes) >= 2
        return FixAssessment(party, blamed[party], False, reset, weighed.drifted)

    def _unexplained(self) -> list[Reading]:
        """Readings but those that were turned away because the map, or the navigation, was off."""
        return [reading for reading in self._readings if not reading.explained]

    def _goes_on(self, evidence: FixEvidence) -> bool:
        """Whether a fix rather errs as those turned away before it than agrees with the state.

        Suspicion decays: after SUSPICION_S a fix is judged by itself alone.
        """
        run = self._fixes
        if not run or evidence.time_s - run[0].time_s > SUSPICION_S:
            return False
        alone = log_normal(evidence.from_navigation_m, evidence.covariance_m2)
        so_far = fix_likelihoods(run, self._trusted_fix, np.zeros(3), 1.0)
        with_it = fix_likelihoods([*run, evidence], self._trusted_fix, np.zeros(3), 1.0)
        return max(with_it.map - so_far.map, with_it.clock - so_far.clock) > alone

    # --- readings --------------------------------------------------------------------------------

    def assess(self, belief: Belief, range_m: float, valid: bool, beam: int) -> Assessment:
        """Judge a reading of the altimeter; beam: index of the beam that was read."""
        self._move(belief)
        direction = belief.rotation.T @ self._boresights[beam]
        axes = east_north_up(belief.witness_m)
        plausible = valid and self._plausible(range_m)
        near = self._spread(belief, axes, direction, range_m if plausible else math.nan)
        ranges = near.expected(belief.witness_m, direction)
        ground = self.ranges.below(belief.position_m)
        gain = -1.0 / min(float(direction @ axes[2]), -0.2)
        expected = self._expected(belief, axes, near, ranges, gain, ground.sigma_m)
        if not plausible:
            return self._assess_silence(belief, expected)
        if not expected.known:
            return self._unknown(belief.time_s, expected)
        reading = self._reading(belief, direction, range_m, expected, gain, ground)
        near.keep([reading], ranges[None])
        self._suspicion.see(abs(range_m - expected.mean_m) / expected.sigma_m)
        fixes = self._recent_fixes(belief.time_s)
        weighed = self._weigh_all(belief, fixes, self._readings)
        if self._agrees_again(belief):
            weighed = self._weigh_all(belief, fixes, self._readings)
        return self._judge(belief, range_m, expected, weighed)

    def _plausible(self, range_m: float) -> bool:
        return math.isfinite(range_m) and 0.0 < range_m <= 2.0 * self.altimeter.maximum_range_m

    def _move(self, belief: Belief) -> None:
        """Count the ground passed."""
        if self._last_s is not None:
            speed = float(np.linalg.norm(belief.velocity_m_per_s))
            self._distance_m += speed * abs(belief.time_s - self._last_s)
        self._last_s = belief.time_s

    def _spread(self, belief: Belief, axes: Array, direction: Array, range_m: float) -> Candidates:
        """Candidate places where the beam may meet the ground, spread anew where they moved."""
        offset = axes @ (belief.position_m - belief.witness_m)
        covariance = self._horizontal(belief, axes, direction, range_m)
        if self.ranges.edition != self._edition:
            self._near, self._edition = None, self.ranges.edition
        if self._near is not None and self._near_at is not None:
            old, old_covariance = self._near_at
            moved = offset[:2] - old
            grown = np.trace(covariance) / np.trace(old_covariance)
            square = float(moved @ np.linalg.solve(old_covariance, moved))
            if square < MOVED_SIGMAS**2 and 0.5 < grown < 1.7:
                return self._near
        root = np.linalg.cholesky(covariance)
        self._near = Candidates(self.ranges, axes, offset[:2] + self._near_points @ root.T)
        self._near_at = offset[:2], covariance
        return self._near

    def _horizontal(self, belief: Belief, axes: Array, direction: Array, range_m: float) -> Array:
        """Covariance of the beam's place on the ground, (2, 2), from position and attitude."""
        place = axes[:2] @ belief.covariance[:3, :3] @ axes[:2].T
        up = axes[2]
        above_m = max(self.ranges.height_over_m(belief.position_m), 0.0)
        reach = range_m if math.isfinite(range_m) else above_m
        turn = belief.rotation.T @ belief.covariance[3:, 3:] @ belief.rotation
        # A turn by theta moves the beam's end by range times theta x direction.
        across = np.array(
            [[0, direction[2], -direction[1]],
             [-direction[2], 0, direction[0]],
             [direction[1], -direction[0], 0]]
        )  # fmt: skip
        lever = reach * (axes[:2] - np.outer(axes[:2] @ direction, up) / min(direction @ up, -0.2))
        lever = lever @ across
        return np.asarray(place + lever @ turn @ lever.T + 0.25 * np.eye(2))

    def _vertical(self, belief: Belief, axes: Array, near: Candidates) -> tuple[Array, float]:
        """Mean (N,) and variance of the height over the witness at candidate places."""
        known = self._vertical_at
        if known is not None and known[0] is belief and known[1] is near:
            return known[2]
        covariance = axes @ belief.covariance[:3, :3] @ axes.T
        offset = axes @ (belief.position_m - belief.witness_m)
        height = _height_at(offset, covariance, near.offsets_m)
        self._vertical_at = belief, near, height
        return height

    def _expected(
        self,
        belief: Belief,
        axes: Array,
        near: Candidates,
        ranges: Array,
        gain: float,
        map_sigma_m: float,
    ) -> ExpectedRange:
        """The mixture that a reading is expected to come from, before it is seen."""
        known = np.isfinite(ranges)
        if known.mean() < 0.5:
            return ExpectedRange(np.empty(0), np.empty(0), np.empty(0))
        mean, variance = self._vertical(belief, axes, near)
        filled = ranges[known] + gain * mean[known]
        noise = self.altimeter.variance_m2(float(filled.mean()), 0.1)
        sigma = math.sqrt(gain**2 * (variance + map_sigma_m**2) + noise)
        count = len(filled)
        return ExpectedRange(filled, np.full(count, 1.0 / count), np.full(count, sigma))

    def _reading(
        self,
        belief: Belief,
        direction: Array,
        range_m: float,
        expected: ExpectedRange,
        gain: float,
        ground: Ground,
    ) -> Reading:
        """The reading, put behind those before it."""
        before = self._readings[-1] if self._readings else None
        rate = 0.0
        if before is not None and belief.time_s > before.time_s:
            rate = (expected.mean_m - before.expected_m) / (belief.time_s - before.time_s)
        slope = abs(rate) / max(float(np.linalg.norm(belief.velocity_m_per_s)), 1.0)
        passed_m = 0.0 if before is None else self._distance_m - before.distance_m
        # Relief is passed over from reading to reading in flight, and stays in a hover.
        passing = 1.0 - math.exp(-2.0 * passed_m / self.ranges.relief_length_m)
        relief_m2 = (gain * ground.relief_m) ** 2
        self._forget()
        taken = {reading.slot for reading in self._readings}
        self._serial += 1
        reading = Reading(
            self._serial,
            next(slot for slot in range(SLOTS) if slot not in taken),
            belief.time_s,
            range_m,
            direction,
            belief.witness_m,
            gain,
            self.altimeter.variance_m2(range_m, min(slope, 2.0)) + passing * relief_m2,
            (gain * ground.stated_m) ** 2 + (1.0 - passing) * relief_m2,
            self._distance_m,
            expected.mean_m,
            rate,
            relief_m2,
        )
        self._readings.append(reading)
        return reading

    def _forget(self) -> None:
        """Keep what comparison and test need."""
        accepted = sum(reading.compared for reading in self._readings)
        recent = len(self._readings) - LONGEST_TEST
        kept: list[Reading] = []
        for k, reading in enumerate(self._readings):
            if reading.compared:
                accepted -= 1
                if accepted < LONGEST or k >= recent:
                    kept.append(reading)
            elif k >= recent:
                kept.append(reading)
        self._readings = kept

    # --- weighing --------------------------------------------------------------------------------

    def _recent_fixes(self, time_s: float) -> list[FixEvidence]:
        fixes = self._fixes
        if not fixes and self._trusted_fix is not None:
            fixes = [self._trusted_fix]
        if not fixes or time_s - fixes[-1].time_s > FIX_MEMORY_S:
            return []
        return fixes

    def _weigh_all(
        self, belief: Belief, fixes: list[FixEvidence], readings: list[Reading]
    ) -> Weighed:
        """Log odds of every explanation, of readings and fixes together."""
        axes = east_north_up(belief.witness_m)
        odds, near = self._weigh_readings(belief, axes, readings)
        jump = belief.position_m - belief.witness_m
        taken = bool(fixes) and fixes[0] is self._trusted_fix
        before = None if taken else self._trusted_fix
        told = fix_likelihoods(fixes, before, jump, belief.witness_sigma_m)
        elsewhere = self._weigh_elsewhere(belief, axes, [] if taken else fixes, near, readings)
        doubt = 0.0 if taken else max((fix.channel_doubt for fix in fixes), default=0.0)
        best = int(np.argmax(odds[FAULTS])) + 1
        stuck = self._weigh_stuck(near, readings)
        faults = [*odds[FAULTS].tolist(), stuck]
        kind = "stuck" if stuck > odds[best] else SUPPOSED[best][2]
        height_drift = HEIGHT_DRIFT_PRIOR + float(odds[DRIFT_INDEX])
        drift = DRIFT_PRIOR + told.drift - told.consistent
        return Weighed(
            self._suspicion.prior(belief.time_s) + float(np.logaddexp.reduce(faults)),
            kind,
            STATE_PRIOR + told.state - told.consistent,
            drift,
            MAP_PRIOR + told.map - told.consistent,
            CLOCK_PRIOR + told.clock - told.consistent,
            CAMERA_PRIOR + told.camera - told.consistent + doubt,
            elsewhere.state,
            float(np.logaddexp(elsewhere.drift, height_drift - drift)),
            elsewhere.map,
        )

    def _weigh_readings(
        self, belief: Belief, axes: Array, readings: list[Reading]
    ) -> tuple[Array, dict[int, float]]:
        """Log odds of supposed faults, best over runs; log evidence of "all is well" per run."""
        if not readings or self._near is None:
            return np.where(np.arange(len(KINDS)) == 0, 0.0, -math.inf), {}
        out = self._weighed_runs(belief, axes, self._near, readings, TESTS)
        return (out - out[:, :1]).max(axis=0), dict(zip(TESTS, out[:, 0].tolist(), strict=False))

    def _weighed_runs(
        self,
        belief: Belief,
        axes: Array,
        near: Candidates,
        readings: list[Reading],
        runs: tuple[int, ...],
    ) -> Array:
        """Log evidence of runs of the last readings under each supposed fault, (runs, H)."""
        mean, variance = self._vertical(belief, axes, near)
        return run_evidence(belief, readings, near, runs, mean, variance, self.ranges)

    def _weigh_elsewhere(
        self,
        belief: Belief,
        axes: Array,
        fixes: list[FixEvidence],
        near: dict[int, float],
        readings: list[Reading],
    ) -> _Elsewhere:
        """How much better the last readings fit where fixes, or the witness, say the lander is.

        fixes: those that the navigation has not taken.
        """
        if not readings or not near:
            return _Elsewhere(0.0, 0.0, 0.0)
        at_fix = 0.0
        if fixes:
            fix_m = np.mean([fix.from_witness_m for fix in fixes], axis=0)
            covariance = axes @ fixes[-1].covariance_m2 @ axes.T
            at_fix = self._advantage(belief, axes, axes @ fix_m, covariance, readings, near)
        jump = belief.position_m - belief.witness_m
        at_witness = 0.0
        if float(np.linalg.norm(jump)) > 5.0 * belief.witness_sigma_m:
            covariance = axes @ belief.covariance[:3, :3] @ axes.T
            at_witness = self._advantage(belief, axes, np.zeros(3), covariance, readings, near)
        elif fixes:
            at_witness = at_fix
        return _Elsewhere(at_witness, at_fix, at_fix)

    def _advantage(
        self,
        belief: Belief,
        axes: Array,
        offset: Array,
        covariance: Array,
        readings: list[Reading],
        near: dict[int, float],
    ) -> float:
        """Log odds of an offset place (3,) over the navigated one, best over runs of readings."""
        tested = readings[-ELSEWHERE_RUNS[-1] :]
        spread = offset[:2] + self._fix_points @ np.linalg.cholesky(covariance[:2, :2]).T
        candidates = Candidates(self.ranges, axes, spread)
        mean, variance = _height_at(offset, covariance, spread)
        best = -math.inf
        for count in ELSEWHERE_RUNS:
            if count > len(tested) or count not in near:
                break
            # Each run on its own: before it, this place need not have held.
            out = run_evidence(
                belief, tested[-count:], candidates, (count,), mean, variance, self.ranges
            )
            best = max(best, float(out[0, 0]) - near[count])
        return 0.0 if best == -math.inf else best

    def _weigh_stuck(self, near: dict[int, float], readings: list[Reading]) -> float:
        """Log odds that the last readings repeat one value."""
        runs = [run for run in STUCK_RUNS if run < len(readings) and run in near]
        return max(
            (self._stuck_evidence(readings, run) - near[run] for run in runs),
            default=-math.inf,
        )

    def _agrees_again(self, belief: Belief) -> bool:
        """Drop readings of a fault that has ended; whether any were dropped.

        It has ended where "a fault, then all is well" explains the readings since its first one
        better than the fault going on.
        """
        readings = self._readings
        last = len(readings) - 1
        faulty = [k for k, reading in enumerate(readings[:-1]) if not reading.accepted]
        if not faulty or self._near is None:
            return False
        lone = len(faulty) < MOST_SPIKES and faulty[-1] == last - 1
        begin = max(faulty[0], len(readings) - LONGEST_TEST)
        going_on: float | None = None
        for run, odds in (AGREEING_ALONE, *AGREEING) if lone else AGREEING:
            first = len(readings) - run
            if first <= begin:
                continue
            # The last ones must do without a fault of their own, too.
            well, alone = self._well_and_faulty(belief, readings, run)
            if well < alone - AGREEING_SLACK:
                continue
            if going_on is None:
                _, going_on = self._well_and_faulty(belief, readings, len(readings) - begin)
            _, ended = self._well_and_faulty(belief, readings[:first], first - begin)
            if ended + well - going_on < odds:
                continue
            self._readings = [
                reading for k, reading in enumerate(readings) if k >= first or reading.accepted
            ]
            doubtful = self._suspicion.stands(belief.time_s)
            for reading in readings[first:last]:
                reading.accepted, reading.doubtful = True, doubtful
            return True
        return False

    def _well_and_faulty(
        self, belief: Belief, readings: list[Reading], run: int
    ) -> tuple[float, float]:
        """Log evidence of the last readings if all is well, and under the fault that suits best."""
        assert self._near is not None
        axes = east_north_up(belief.witness_m)
        out = self._weighed_runs(belief, axes, self._near, readings, (run,))[0]
        faulty = max(float(out[FAULTS].max()), self._stuck_evidence(readings, run))
        return float(out[0]), faulty

    def _stuck_evidence(self, readings: list[Reading], run: int) -> float:
        """Log probability density that a run repeats the value before it."""
        values = np.array([reading.range_m for reading in readings[-run - 1 :]])
        resolution = max(self.altimeter.resolution_m, 0.01)
        if len(values) < 2 or float(np.ptp(values)) > 0.5 * resolution:
            return -math.inf
        return -run * math.log(resolution)

    # --- verdicts --------------------------------------------------------------------------------

    def _judge(
        self, belief: Belief, range_m: float, expected: ExpectedRange, weighed: Weighed
    ) -> Assessment:
        probabilities = {**weighed.of_reading(), UNDECIDED: 0.0}
        well = probabilities[CONSISTENT]
        verdict = max(probabilities, key=lambda name: probabilities[name])
        if well < 0.5 and probabilities[verdict] < DECIDED:
            verdict = UNDECIDED
        used = verdict == CONSISTENT
        if verdict == ALTIMETER:
            begun_s = self._suspicion.blame(belief.time_s)
            # What was taken in between belongs to the fault.
            for each in self._readings:
                each.accepted &= each.time_s < begun_s
        self._readings[-1].explained = verdict in (MAP, NAVIGATION)
        if self._due(expected):
            self._silence.due(came=True)
        if used:
            self._silence.answered()
            self._take(belief.time_s)
            # What was turned away before has ended: later readings are not weighed with it.
            self._readings = [reading for reading in self._readings if reading.accepted]
        kind = weighed.kind if verdict == ALTIMETER else ""
        return Assessment(
            belief.time_s,
            verdict,
            probabilities,
            kind,
            expected.mean_m,
            expected.sigma_m,
            used,
            sentence_of(verdict, kind, range_m, expected, probabilities[verdict]),
        )

    def _take(self, time_s: float) -> None:
        """The last reading is taken, on probation while the altimeter is suspected.

        Until suspicion has gone, what is taken is no comparison for later readings.
        """
        reading = self._readings[-1]
        reading.accepted, reading.doubtful = True, self._suspicion.stands(time_s)
        self._suspicion.take()
        if not self._suspicion.stands(time_s):
            for each in self._readings:
                each.doubtful = False

    def _due(self, expected: ExpectedRange) -> bool:
        """Whether the ground is within the altimeter's reach."""
        low_m, high_m = self.altimeter.minimum_range_m, self.altimeter.maximum_range_m
        return expected.known and expected.probability_between(low_m, high_m) > DUE

    def _assess_silence(self, belief: Belief, expected: ExpectedRange) -> Assessment:
        due = self._due(expected)
        if due:
            self._silence.due(came=False)
        silent = due and self._silence.alarmed
        share = self._silence.probability if due else 0.0
        probabilities = dict.fromkeys(VERDICTS, 0.0)
        probabilities[CONSISTENT], probabilities[ALTIMETER] = 1.0 - share, share
        if silent:
            sentence = (
                f"No valid range, though {expected.mean_m:,.0f} m is within the altimeter's reach: "
                "it is silent."
            )
        elif due:
            sentence = f"No valid range where {expected.mean_m:,.0f} m is due; one may be missed."
        else:
            sentence = "No valid range, and none is due."
        return Assessment(
            belief.time_s,
            ALTIMETER if silent else CONSISTENT,
            probabilities,
            "silent" if silent else "",
            expected.mean_m,
            expected.sigma_m,
            False,
            sentence,
        )

    def _unknown(self, time_s: float, expected: ExpectedRange) -> Assessment:
        probabilities = dict.fromkeys(VERDICTS, 0.0)
        probabilities[UNDECIDED] = 1.0
        return Assessment(
            time_s, UNDECIDED, probabilities, "", expected.mean_m, expected.sigma_m, False,
            "The map holds no ground under the beam: the range cannot be checked.",
        )  # fmt: skip


@dataclass(frozen=True)
class _Elsewhere:
    """Log odds of the readings at the place that an explanation puts the lander or the map."""

    state: float
    drift: float
    map: float


def _height_at(offset: Array, covariance: Array, offsets_m: Array) -> tuple[Array, float]:
    """Mean (N,) and variance of a place's height at horizontal offsets (N, 2).

    offset, covariance: (3,) and (3, 3), east, north, up, of the place.
    """
    tie = np.linalg.solve(covariance[:2, :2] + 1e-6 * np.eye(2), covariance[:2, 2])
    mean = offset[2] + (offsets_m - offset[:2]) @ tie
    return np.asarray(mean), max(float(covariance[2, 2] - covariance[2, :2] @ tie), 0.01)
