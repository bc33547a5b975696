"""The cross-check: is the altimeter wrong, the navigation, the map, or none of them?

Each reading is weighed together with those before it (`trn.altimetry.evidence`) and with the image
fixes (`trn.altimetry.fix_evidence`) under every explanation; the posterior decides the verdict.
Nothing is shut out for good: a reading that agrees again is taken again.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief, FixEvidence
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.fix_evidence import fix_likelihoods, log_normal
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.places import NearPlaces
from trn.altimetry.profile import LONGEST_TEST, Reading
from trn.altimetry.silence import SilenceWatch
from trn.altimetry.suppositions import DRIFT_INDEX, FAULTS, SUPPOSED
from trn.altimetry.suspicion import Suspicion
from trn.altimetry.terrain import MapRanges
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
from trn.altimetry.weighing import Weigher
from trn.altimetry.window import Window
from trn.moon.frames import east_north_up

Array = NDArray[np.float64]

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
DUE = 0.99
"""Least probability that the ground is within reach for a range to be due."""


class CrossCheck:
    """Weighs readings of one altimeter, and image fixes, against navigation and map."""

    def __init__(self, ranges: MapRanges, altimeter: AltimeterModel) -> None:
        self.ranges = ranges
        self.altimeter = altimeter
        self._boresights = altimeter.boresights()
        self._window = Window(ranges, altimeter)
        self._near = NearPlaces(ranges)
        self._weigher = Weigher(ranges, self._near, altimeter.resolution_m)
        self._silence = SilenceWatch(altimeter.dropouts)
        self._fixes: list[FixEvidence] = []
        self._trusted_fix: FixEvidence | None = None
        self._suspicion = Suspicion()

    # --- what the navigation tells ---------------------------------------------------------------

    def witness_restarted(self, shift_m: Array) -> None:
        """The witness was started anew; shift_m: (3,), its new place minus its old one."""
        self._window.shift_witness(shift_m)
        self._near.forget()

    def navigation_reset(self) -> None:
        """The navigated state was moved: fixes held against it are settled."""
        self._fixes.clear()
        self._trusted_fix = None
        self._near.forget()

    def assess_fix(self, belief: Belief, evidence: FixEvidence) -> FixAssessment:
        """Judge an image fix, before the navigation takes it."""
        # Map or navigation may be right again: readings that told against them then do not now.
        weighed = self._weigh_all(belief, [evidence], self._window.unexplained())
        posterior = weighed.of_fix()
        accepted = posterior[CONSISTENT] > 0.5 and not self._goes_on(evidence)
        if not accepted and self._fixes:
            weighed = self._weigh_all(belief, [*self._fixes, evidence], self._window.readings)
            posterior = weighed.of_fix()
        if accepted:
            self._fixes.clear()
            self._window.readings = self._window.unexplained()
            self._trusted_fix = evidence
            # Places are spread anew around what the navigation makes of the fix.
            self._near.forget()
            return FixAssessment(CONSISTENT, posterior[CONSISTENT], True, False, False)
        # The first of the run stays: whether they came off at once is told by it.
        self._fixes = [*self._fixes[:1], *self._fixes[1:][2 - MOST_FIXES :], evidence]
        blamed = {name: p for name, p in posterior.items() if name != CONSISTENT}
        party = max(blamed, key=lambda name: blamed[name])
        if blamed[party] < DECIDED:
            return FixAssessment(UNDECIDED, blamed[party], False, False, False)
        reset = party == NAVIGATION and len(self._fixes) >= 2
        return FixAssessment(party, blamed[party], False, reset, weighed.drifted)

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
        self._window.move(belief)
        direction = belief.rotation.T @ self._boresights[beam]
        axes = east_north_up(belief.witness_m)
        plausible = valid and self._plausible(range_m)
        near = self._near.around(belief, axes, direction, range_m if plausible else math.nan)
        ranges = near.expected(belief.witness_m, direction)
        ground = self.ranges.below(belief.position_m)
        gain = -1.0 / min(float(direction @ axes[2]), -0.2)
        expected = self._expected(belief, axes, ranges, gain, ground.sigma_m)
        if not plausible:
            return self._assess_silence(belief, expected)
        if not expected.known:
            return self._unknown(belief.time_s, expected)
        reading = self._window.add(belief, direction, range_m, expected, gain, ground)
        near.keep([reading], ranges[None])
        self._suspicion.see(abs(range_m - expected.mean_m) / expected.sigma_m)
        fixes = self._recent_fixes(belief.time_s)
        weighed = self._weigh_all(belief, fixes, self._window.readings)
        if self._agrees_again(belief):
            weighed = self._weigh_all(belief, fixes, self._window.readings)
        return self._judge(belief, range_m, expected, weighed)

    def _plausible(self, range_m: float) -> bool:
        return math.isfinite(range_m) and 0.0 < range_m <= 2.0 * self.altimeter.maximum_range_m

    def _expected(
        self,
        belief: Belief,
        axes: Array,
        ranges: Array,
        gain: float,
        map_sigma_m: float,
    ) -> ExpectedRange:
        """The mixture that a reading is expected to come from, before it is seen."""
        known = np.isfinite(ranges)
        if known.mean() < 0.5:
            return ExpectedRange(np.empty(0), np.empty(0), np.empty(0))
        mean, variance = self._near.heights(belief, axes)
        filled = ranges[known] + gain * mean[known]
        noise = self.altimeter.variance_m2(float(filled.mean()), 0.1)
        sigma = math.sqrt(gain**2 * (variance + map_sigma_m**2) + noise)
        count = len(filled)
        return ExpectedRange(filled, np.full(count, 1.0 / count), np.full(count, sigma))

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
        odds, near = self._weigher.readings(belief, axes, readings)
        jump = belief.position_m - belief.witness_m
        taken = bool(fixes) and fixes[0] is self._trusted_fix
        before = None if taken else self._trusted_fix
        told = fix_likelihoods(fixes, before, jump, belief.witness_sigma_m)
        untaken = [] if taken else fixes
        at_witness, at_fix = self._weigher.elsewhere(belief, axes, untaken, near, readings)
        doubt = 0.0 if taken else max((fix.channel_doubt for fix in fixes), default=0.0)
        best = int(np.argmax(odds[FAULTS])) + 1
        stuck = self._weigher.stuck(near, readings)
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
            at_witness,
            float(np.logaddexp(at_fix, height_drift - drift)),
            at_fix,
        )

    def _agrees_again(self, belief: Belief) -> bool:
        """Drop readings of a fault that has ended; whether any were dropped.

        It has ended where "a fault, then all is well" explains the readings since its first one
        better than the fault going on.
        """
        readings, weigh = self._window.readings, self._weigher.well_and_faulty
        faulty = [k for k, reading in enumerate(readings[:-1]) if not reading.accepted]
        if not faulty:
            return False
        lone = len(faulty) < MOST_SPIKES and faulty[-1] == len(readings) - 2
        begin = max(faulty[0], len(readings) - LONGEST_TEST)
        going_on: float | None = None
        for run, odds in (AGREEING_ALONE, *AGREEING) if lone else AGREEING:
            first = len(readings) - run
            if first <= begin:
                continue
            # The last ones must do without a fault of their own, too.
            well, alone = weigh(belief, readings, run)
            if well < alone - AGREEING_SLACK:
                continue
            if going_on is None:
                _, going_on = weigh(belief, readings, len(readings) - begin)
            _, ended = weigh(belief, readings[:first], first - begin)
            if ended + well - going_on < odds:
                continue
            self._window.fault_ended(first, self._suspicion.stands(belief.time_s))
            return True
        return False

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
            self._window.faulty_since(self._suspicion.blame(belief.time_s))
        self._window.readings[-1].explained = verdict in (MAP, NAVIGATION)
        if self._due(expected):
            self._silence.due(came=True)
        if used:
            self._silence.answered()
            self._suspicion.take()
            self._window.take_last(self._suspicion.stands(belief.time_s))
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
