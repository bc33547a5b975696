"""The last readings of one altimeter: what later ones are compared with, and what is tested."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.altimetry.belief import Belief
from trn.altimetry.expected import ExpectedRange
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.profile import LONGEST, LONGEST_TEST, SLOTS, Reading
from trn.altimetry.terrain import Ground, MapRanges

Array = NDArray[np.float64]


class Window:
    """A sliding window of readings, oldest first."""

    def __init__(self, ranges: MapRanges, altimeter: AltimeterModel) -> None:
        self._ranges = ranges
        self._altimeter = altimeter
        self.readings: list[Reading] = []
        self._distance_m = 0.0
        self._last_s: float | None = None
        self._serial = 0

    def move(self, belief: Belief) -> None:
        """Count the ground passed."""
        if self._last_s is not None:
            speed = float(np.linalg.norm(belief.velocity_m_per_s))
            self._distance_m += speed * abs(belief.time_s - self._last_s)
        self._last_s = belief.time_s

    def add(
        self,
        belief: Belief,
        direction: Array,
        range_m: float,
        expected: ExpectedRange,
        gain: float,
        ground: Ground,
    ) -> Reading:
        """The reading, put behind those before it; gain: range per metre of height."""
        before = self.readings[-1] if self.readings else None
        rate = 0.0
        if before is not None and belief.time_s > before.time_s:
            rate = (expected.mean_m - before.expected_m) / (belief.time_s - before.time_s)
        slope = abs(rate) / max(float(np.linalg.norm(belief.velocity_m_per_s)), 1.0)
        passed_m = 0.0 if before is None else self._distance_m - before.distance_m
        # Relief is passed over from reading to reading in flight, and stays in a hover.
        passing = 1.0 - math.exp(-2.0 * passed_m / self._ranges.relief_length_m)
        relief_m2 = (gain * ground.relief_m) ** 2
        self._forget()
        taken = {reading.slot for reading in self.readings}
        self._serial += 1
        reading = Reading(
            self._serial,
            next(slot for slot in range(SLOTS) if slot not in taken),
            belief.time_s,
            range_m,
            direction,
            belief.witness_m,
            gain,
            self._altimeter.variance_m2(range_m, min(slope, 2.0)) + passing * relief_m2,
            (gain * ground.stated_m) ** 2 + (1.0 - passing) * relief_m2,
            self._distance_m,
            expected.mean_m,
            rate,
            relief_m2,
        )
        self.readings.append(reading)
        return reading

    def _forget(self) -> None:
        """Keep what comparison and test need."""
        accepted = sum(reading.compared for reading in self.readings)
        recent = len(self.readings) - LONGEST_TEST
        kept: list[Reading] = []
        for k, reading in enumerate(self.readings):
            accepted -= reading.compared
            if k >= recent or (reading.compared and accepted < LONGEST):
                kept.append(reading)
        self.readings = kept

    def shift_witness(self, shift_m: Array) -> None:
        """The witness was started anew; shift_m: (3,), its new place minus its old one."""
        for reading in self.readings:
            reading.witness_m = reading.witness_m + shift_m

    def unexplained(self) -> list[Reading]:
        """Readings but those that were turned away because the map, or the navigation, was off."""
        return [reading for reading in self.readings if not reading.explained]

    def faulty_since(self, time_s: float) -> None:
        """A fault began then: what was taken since belongs to it."""
        for reading in self.readings:
            reading.accepted &= reading.time_s < time_s

    def take_last(self, doubtful: bool) -> None:
        """The last reading is taken, and what was turned away before it has ended.

        doubtful: the altimeter is suspected; until it is not, what is taken is no comparison.
        """
        last = self.readings[-1]
        last.accepted, last.doubtful = True, doubtful
        self.readings = [reading for reading in self.readings if reading.accepted]
        if not doubtful:
            for reading in self.readings:
                reading.doubtful = False

    def fault_ended(self, first: int, doubtful: bool) -> None:
        """Readings from index `first` on are well again; those turned away before are dropped.

        The last of them is still to be judged.
        """
        last = len(self.readings) - 1
        for reading in self.readings[first:last]:
            reading.accepted, reading.doubtful = True, doubtful
        self.readings = [
            reading for k, reading in enumerate(self.readings) if k >= first or reading.accepted
        ]
