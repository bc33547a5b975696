"""What the data sheet of an altimeter says, as the cross-check needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AltimeterModel:
    """One range finder.

    beam_rad: full width of the beam. returns: "mean" of its footprint, or the "first" in it.
    noise_m, noise_of_range, noise_of_spread: 1 sigma, added in squares; the spread is that of
    ranges in the footprint. dropouts: share of readings without an echo. latency_s: age of a
    reading at its stamp. beams: rotations from vehicle axes to each beam's, boresight z.
    """

    rate_hz: float
    beam_rad: float
    returns: Literal["mean", "first"]
    minimum_range_m: float
    maximum_range_m: float
    noise_m: float
    noise_of_range: float
    noise_of_spread: float
    resolution_m: float
    dropouts: float
    latency_s: float
    beams: tuple[Rotation, ...]

    def boresights(self) -> Array:
        """Unit vectors of the beams, (N, 3), vehicle axes."""
        return np.array([beam.inv().apply([0.0, 0.0, 1.0]) for beam in self.beams])

    def variance_m2(self, range_m: float, slope: float) -> float:
        """Variance of a reading at a range, on ground of a slope (tangent)."""
        # A Gaussian beam's footprint has a standard deviation of a quarter of its width.
        spread = 0.25 * self.beam_rad * range_m * slope
        return float(
            self.noise_m**2
            + (self.noise_of_range * range_m) ** 2
            + (self.noise_of_spread * spread) ** 2
            + self.resolution_m**2 / 12.0
        )
