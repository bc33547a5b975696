"""Where the beam may meet the ground: candidate places around the navigated one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief
from trn.altimetry.profile import Candidates, spread_points
from trn.altimetry.terrain import MapRanges

Array = NDArray[np.float64]

NEAR_PLACES = 32
MOVED_SIGMAS = 0.3
"""Places are kept while the navigation stays within so much of where they were spread."""


class NearPlaces:
    """Places that stand for the navigated state's uncertainty, spread anew where it moved."""

    def __init__(self, ranges: MapRanges) -> None:
        self._ranges = ranges
        self._edition = ranges.edition
        self._points = spread_points(NEAR_PLACES)
        self.candidates: Candidates | None = None
        self._spread_at: tuple[Array, Array] | None = None
        self._heights_at: tuple[Belief, Candidates, tuple[Array, float]] | None = None

    def forget(self) -> None:
        """Spread them anew at the next reading."""
        self.candidates = None

    def around(self, belief: Belief, axes: Array, direction: Array, range_m: float) -> Candidates:
        """Places where a beam may meet the ground.

        axes: (3, 3), east, north, up. direction: (3,), of the beam, body-fixed. range_m: NaN where
        it is not known.
        """
        offset = axes @ (belief.position_m - belief.witness_m)
        covariance = self._horizontal(belief, axes, direction, range_m)
        if self._ranges.edition != self._edition:
            self.candidates, self._edition = None, self._ranges.edition
        if self.candidates is not None and self._spread_at is not None:
            old, old_covariance = self._spread_at
            moved = offset[:2] - old
            grown = np.trace(covariance) / np.trace(old_covariance)
            square = float(moved @ np.linalg.solve(old_covariance, moved))
            if square < MOVED_SIGMAS**2 and 0.5 < grown < 1.7:
                return self.candidates
        root = np.linalg.cholesky(covariance)
        self.candidates = Candidates(self._ranges, axes, offset[:2] + self._points @ root.T)
        self._spread_at = offset[:2], covariance
        return self.candidates

    def _horizontal(self, belief: Belief, axes: Array, direction: Array, range_m: float) -> Array:
        """Covariance of the beam's place on the ground, (2, 2), from position and attitude."""
        place = axes[:2] @ belief.covariance[:3, :3] @ axes[:2].T
        up = axes[2]
        above_m = max(self._ranges.height_over_m(belief.position_m), 0.0)
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

    def heights(self, belief: Belief, axes: Array) -> tuple[Array, float]:
        """Mean (N,) and variance of the height over the witness at the places."""
        near, known = self.candidates, self._heights_at
        assert near is not None
        if known is not None and known[0] is belief and known[1] is near:
            return known[2]
        covariance = axes @ belief.covariance[:3, :3] @ axes.T
        offset = axes @ (belief.position_m - belief.witness_m)
        height = height_at(offset, covariance, near.offsets_m)
        self._heights_at = belief, near, height
        return height


def height_at(offset: Array, covariance: Array, offsets_m: Array) -> tuple[Array, float]:
    """Mean (N,) and variance of a place's height at horizontal offsets (N, 2).

    offset, covariance: (3,) and (3, 3), east, north, up, of the place.
    """
    tie = np.linalg.solve(covariance[:2, :2] + 1e-6 * np.eye(2), covariance[:2, 2])
    mean = offset[2] + (offsets_m - offset[:2]) @ tie
    return np.asarray(mean), max(float(covariance[2, 2] - covariance[2, :2] @ tie), 0.01)
