"""How well the last readings fit at places: near the navigated one, and where others say it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief, FixEvidence
from trn.altimetry.places import NearPlaces, height_at
from trn.altimetry.profile import LONGEST_TEST, Candidates, Reading, spread_points
from trn.altimetry.suppositions import FAULTS, KINDS, run_evidence
from trn.altimetry.terrain import MapRanges
from trn.moon.frames import east_north_up

Array = NDArray[np.float64]

FIX_PLACES = 12
TESTS = (1, 2, 4, 8, 16, LONGEST_TEST)
"""Numbers of last readings that are weighed as a run of their own."""

STUCK_RUNS = (4, 8, 16, LONGEST_TEST)
ELSEWHERE_RUNS = (2, 4, 8, 16, LONGEST_TEST)
LEAST_RESOLUTION_M = 0.01


class Weigher:
    """Log evidence of runs of readings; resolution_m: steps in which the altimeter reports."""

    def __init__(self, ranges: MapRanges, near: NearPlaces, resolution_m: float) -> None:
        self._ranges = ranges
        self._near = near
        self._resolution_m = max(resolution_m, LEAST_RESOLUTION_M)
        self._fix_points = spread_points(FIX_PLACES)

    def readings(
        self, belief: Belief, axes: Array, readings: list[Reading]
    ) -> tuple[Array, dict[int, float]]:
        """Log odds of supposed faults, best over runs; log evidence of "all is well" per run."""
        if not readings or self._near.candidates is None:
            return np.where(np.arange(len(KINDS)) == 0, 0.0, -math.inf), {}
        out = self._runs(belief, axes, readings, TESTS)
        return (out - out[:, :1]).max(axis=0), dict(zip(TESTS, out[:, 0].tolist(), strict=False))

    def _runs(
        self,
        belief: Belief,
        axes: Array,
        readings: list[Reading],
        runs: tuple[int, ...],
    ) -> Array:
        """Log evidence of runs of the last readings under each supposed fault, (runs, H)."""
        near = self._near.candidates
        assert near is not None
        mean, variance = self._near.heights(belief, axes)
        return run_evidence(belief, readings, near, runs, mean, variance, self._ranges)

    def elsewhere(
        self,
        belief: Belief,
        axes: Array,
        fixes: list[FixEvidence],
        near: dict[int, float],
        readings: list[Reading],
    ) -> tuple[float, float]:
        """Log odds of the last readings where the witness, and where fixes, say the lander is.

        fixes: those that the navigation has not taken.
        """
        if not readings or not near:
            return 0.0, 0.0
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
        return at_witness, at_fix

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
        candidates = Candidates(self._ranges, axes, spread)
        mean, variance = height_at(offset, covariance, spread)
        best = -math.inf
        for count in ELSEWHERE_RUNS:
            if count > len(tested) or count not in near:
                break
            # Each run on its own: before it, this place need not have held.
            out = run_evidence(
                belief, tested[-count:], candidates, (count,), mean, variance, self._ranges
            )
            best = max(best, float(out[0, 0]) - near[count])
        return 0.0 if best == -math.inf else best

    def stuck(self, near: dict[int, float], readings: list[Reading]) -> float:
        """Log odds that the last readings repeat one value."""
        runs = [run for run in STUCK_RUNS if run < len(readings) and run in near]
        return max(
            (self._stuck_evidence(readings, run) - near[run] for run in runs),
            default=-math.inf,
        )

    def well_and_faulty(
        self, belief: Belief, readings: list[Reading], run: int
    ) -> tuple[float, float]:
        """Log evidence of the last readings if all is well, and under the fault that suits best."""
        axes = east_north_up(belief.witness_m)
        out = self._runs(belief, axes, readings, (run,))[0]
        faulty = max(float(out[FAULTS].max()), self._stuck_evidence(readings, run))
        return float(out[0]), faulty

    def _stuck_evidence(self, readings: list[Reading], run: int) -> float:
        """Log probability density that a run repeats the value before it."""
        values = np.array([reading.range_m for reading in readings[-run - 1 :]])
        if len(values) < 2 or float(np.ptp(values)) > 0.5 * self._resolution_m:
            return -math.inf
        return -run * math.log(self._resolution_m)
