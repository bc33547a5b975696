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
COLUMNS = 8
"""What `Reading.column` holds."""

SLOTS = LONGEST + LONGEST_TEST + 2
"""Readings that are ever held at once."""


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

    serial: its number. slot: its place in tables, below SLOTS. direction: (3,), of the beam,
    body-fixed. witness_m: (3,). gain: range per metre of height. variance_m2: of the instrument.
    map_variance_m2: of the map. distance_m: ground passed since the start. expected_m: range from
    the navigated place. rate_m_per_s: of the expected range. relief_m2: variance of relief that the
    map does not show. accepted: whether it was taken. doubtful: taken while the altimeter was
    suspected. explained: turned away because the map, or the navigation, was off.
    """

    serial: int
    slot: int
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
    relief_m2: float
    accepted: bool = False
    doubtful: bool = False
    explained: bool = False

    @property
    def compared(self) -> bool:
        """Whether later readings are held against it."""
        return self.accepted and not self.doubtful

    def column(self) -> tuple[float, ...]:
        """What `evidence.weigh_runs` reads of it."""
        return (
            self.time_s, self.range_m, self.gain, self.variance_m2, self.map_variance_m2,
            self.distance_m, self.rate_m_per_s, self.relief_m2,
        )  # fmt: skip


def offset_places(witness_m: Array, axes: Array, offsets_m: Array) -> Array:
    """Places at horizontal offsets (N, 2) east and north of others, at their height.

    witness_m: (3,) or (K, 3); the places are (N, 3) or (K, N, 3).
    """
    moved = offsets_m @ axes[:2]
    places = np.asarray(witness_m)[..., None, :] + moved
    radius = np.sqrt(np.einsum("...i,...i->...", places, places))
    height = np.sqrt(np.einsum("...i,...i->...", witness_m, witness_m))
    return np.asarray(places * (height[..., None] / radius)[..., None])


class Candidates:
    """Ranges that readings should have had at offsets (N, 2) from the witness."""

    def __init__(self, ranges: MapRanges, axes: Array, offsets_m: Array) -> None:
        self._ranges = ranges
        self.axes = axes
        self.offsets_m = offsets_m
        self._neighbour = _nearest(offsets_m)
        count = len(offsets_m)
        # Rows by slot, with the serial number of the reading that each is of.
        self._serial = np.full(SLOTS, -1)
        self._columns = np.empty((SLOTS, COLUMNS))
        self._expected = np.empty((SLOTS, count))
        self._gap = np.empty((SLOTS, count))

    def expected(self, witness_m: Array, direction: Array) -> Array:
        """Ranges at each place, (N,); NaN for none."""
        origins = offset_places(witness_m, self.axes, self.offsets_m)
        return self._ranges.ranges_m(origins, np.broadcast_to(direction, origins.shape))

    def keep(self, readings: list[Reading], expected: Array) -> None:
        """Keep ranges worked out with `expected`, (K, N), as those of K readings."""
        slots = [reading.slot for reading in readings]
        known = np.isfinite(expected)
        filled = expected
        if not known.all():
            count = np.maximum(known.sum(axis=1, keepdims=True), 1)
            mean = np.where(known, expected, 0.0).sum(axis=1, keepdims=True) / count
            filled = np.where(known, expected, mean)
        self._serial[slots] = [reading.serial for reading in readings]
        self._columns[slots] = [reading.column() for reading in readings]
        self._expected[slots] = filled
        # Half the step to the nearest place: what relief between places may add.
        gap = 0.25 * (filled - filled[:, self._neighbour]) ** 2
        self._gap[slots] = np.where(known, gap, LARGE_GAP_M2)

    def rows(self, readings: list[Reading]) -> tuple[Array, Array, Array]:
        """Residuals and gap variances, (K, N) each, and columns (K, 8) of readings.

        Each reading is cast, and its column kept, once.
        """
        slots = np.array([reading.slot for reading in readings])
        serials = np.array([reading.serial for reading in readings])
        missing = np.flatnonzero(self._serial[slots] != serials)
        if missing.size:
            self._cast([readings[k] for k in missing])
        columns = self._columns[slots]
        return columns[:, 1, None] - self._expected[slots], self._gap[slots], columns

    def _cast(self, readings: list[Reading]) -> None:
        witness_m = np.array([reading.witness_m for reading in readings])
        origins = offset_places(witness_m, self.axes, self.offsets_m)
        rays = np.array([reading.direction for reading in readings])[:, None, :]
        ranges = self._ranges.ranges_m(
            origins.reshape(-1, 3), np.broadcast_to(rays, origins.shape).reshape(-1, 3)
        )
        self.keep(readings, ranges.reshape(len(readings), -1))


def _nearest(offsets_m: Array) -> NDArray[np.int64]:
    """Index of each place's nearest neighbour."""
    distance = np.linalg.norm(offsets_m[:, None] - offsets_m[None], axis=-1)
    np.fill_diagonal(distance, math.inf)
    return np.asarray(np.argmin(distance, axis=1))
