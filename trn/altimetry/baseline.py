"""The altitude estimate that flew on HAKUTO-R Mission 1, for comparison only.

Written from what ispace published (26 May 2023, "ispace Announces Results of the HAKUTO-R Mission 1
Lunar Landing"): measured altitude rose sharply by 3 km as the lander passed the rim; estimate and
measurement came to differ by more than a threshold; the software judged the sensor abnormal and
from then on filtered its values out; the lander estimated its altitude to be zero while still
kilometres up. Everything beyond that is the plainest filter that behaves so: altitude and vertical
speed, carried by the inertial unit, corrected by range over level ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BaselineSettings:
    """gate_m: difference of estimate and measurement that counts as abnormal. strikes: abnormal
    values in a row after which the sensor is shut out for good. time_constant_s: of the correction.
    """

    gate_m: float = 300.0
    strikes: int = 10
    time_constant_s: float = 1.0


class BaselineFilter:
    """Altitude over level ground with an innovation gate that locks out.

    The vertical acceleration is the inertial unit's, so that the estimate is dead reckoning when
    no range corrects it.
    """

    def __init__(self, altitude_m: float, settings: BaselineSettings | None = None) -> None:
        self.settings = settings or BaselineSettings()
        self.altitude_m = altitude_m
        self.locked_out_at_s: float | None = None
        self._strikes = 0
        self._corrected_s: float | None = None

    @property
    def locked_out(self) -> bool:
        """Whether the altimeter has been shut out for good."""
        return self.locked_out_at_s is not None

    def carry(self, climbed_m: float) -> None:
        """Move with the inertial unit, which says that the lander climbed by so much."""
        self.altitude_m += climbed_m

    def correct(self, time_s: float, range_m: float, cos_off_nadir: float) -> None:
        """Take a valid range in, unless the gate or the lock-out turns it away."""
        if self.locked_out:
            return
        measured_m = range_m * cos_off_nadir
        innovation = measured_m - self.altitude_m
        if self._corrected_s is None:
            # The first range sets the altitude.
            self.altitude_m, self._corrected_s = measured_m, time_s
            return
        if abs(innovation) > self.settings.gate_m:
            self._strikes += 1
            if self._strikes >= self.settings.strikes:
                self.locked_out_at_s = time_s
            return
        self._strikes = 0
        elapsed_s = max(time_s - self._corrected_s, 0.0)
        self._corrected_s = time_s
        self.altitude_m += innovation * (1.0 - math.exp(-elapsed_s / self.settings.time_constant_s))
