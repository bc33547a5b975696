"""The last readings of the altimeter, and what they should have been at a set of candidate places.

Places are counted from the inertial witness: dead reckoning that no fix and no range has touched
since it was started, so that its own error hardly changes over a window of seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from trn.altimetry.terrain import MapRanges

Array = NDArray[np.float64]

LONGEST = 64
"""Accepted readings kept as what later ones are compared with."""
LONGEST_TEST = 24
LARGE_GAP_M2 = 1e8


def spread_points(count: int) -> Array:
    """Points that stand for a standard normal distribution in the plane, (count, 2), the first 0.

    A fixed low-discrepancy set (Halton), scaled to unit covariance: the same on every machine.
    """
    uniform = qmc.Halton(2, scramble=False).random(count)[1:]
    points = np.asarray(norm.ppf(uniform))
    points -= points.mean(axis=0)
    points = points @ np.linalg.inv(np.linalg.cholesky(points.T @ points / len(points))).T
    return np.vstack([np.zeros((1, 2)), points])


@dataclass(eq=False)
class Reading:
    """One valid reading and where the witness then was.

    direction: (3,), of the beam, body-fixed. witness_m: (3,). gain: range per metre of height.
    variance_m2: of the instrument. map_variance_m2: of the map. distance_m: ground passed since
    the start. expected_m: range from the navigated place. rate_m_per_s: of the expected range.
    accepted: whether it may serve as comparison.
    """

    time_s: float
    range_m: float
    direction: Array
    witness_m: Array
    gain: float
    variance_m2: float
    map_variance_m2: float
    distance_m: float
    expected_m: float
    rate_m_per_s: float
    accepted: bool = False


def offset_places(witness_m: Array, axes: Array, offsets_m: Array) -> Array:
    """Places (N, 3) at horizontal offsets (N, 2) east and north of one, all at its height."""
    places = witness_m + offsets_m @ axes[:2]
    radius = np.linalg.norm(places, axis=1, keepdims=True)
    return np.asarray(places * (np.linalg.norm(witness_m) / radius))


class Candidates:
    """Ranges that readings should have had at offsets (N, 2) from the witness."""

    def __init__(self, ranges: MapRanges, axes: Array, offsets_m: Array) -> None:
        self._ranges = ranges
        self.axes = axes
        self.offsets_m = offsets_m
        self._neighbour = _nearest(offsets_m)
        self._rows: dict[int, tuple[Array, Array]] = {}

    def rows(self, readings: list[Reading]) -> tuple[Array, Array]:
        """Residuals and gap variances, (K, N) each, of readings; cast once each."""
        missing = [reading for reading in readings if id(reading) not in self._rows]
        if missing:
            self._cast(missing)
        kept = {id(reading): self._rows[id(reading)] for reading in readings}
        self._rows = kept
        residuals, gaps = zip(*(kept[id(reading)] for reading in readings), strict=True)
        return np.stack(residuals), np.stack(gaps)

    def _cast(self, readings: list[Reading]) -> None:
        count = len(self.offsets_m)
        origins = np.concatenate(
            [offset_places(reading.witness_m, self.axes, self.offsets_m) for reading in readings]
        )
        rays = np.repeat([reading.direction for reading in readings], count, axis=0)
        ranges = self._ranges.ranges_m(origins, rays).reshape(len(readings), count)
        for reading, row in zip(readings, ranges, strict=True):
            known = np.isfinite(row)
            middle = float(row[known].mean()) if known.any() else reading.range_m
            filled = np.where(known, row, middle)
            # Half the step to the nearest place: what relief between places may add.
            gap = 0.25 * (filled - filled[self._neighbour]) ** 2
            gap[~known] = LARGE_GAP_M2
            self._rows[id(reading)] = (reading.range_m - filled, gap)


def _nearest(offsets_m: Array) -> NDArray[np.int64]:
    """Index of each place's nearest neighbour."""
    distance = np.linalg.norm(offsets_m[:, None] - offsets_m[None], axis=-1)
    np.fill_diagonal(distance, math.inf)
    return np.asarray(np.argmin(distance, axis=1))
