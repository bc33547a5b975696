"""What a range should be: a mixture over where the lander may be, two-humped near a cliff."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpectedRange:
    """A Gaussian mixture of ranges.

    ranges_m: (N,), from each place the lander may be at. weights: (N,), sum 1. sigmas_m: (N,), of
    each: height, map and instrument. Empty where no beam meets the map.
    """

    ranges_m: Array
    weights: Array
    sigmas_m: Array

    @property
    def known(self) -> bool:
        """Whether there is any ground of the map under the beam."""
        return bool(self.ranges_m.size)

    @property
    def mean_m(self) -> float:
        """Mean; NaN where nothing is known."""
        return float(self.weights @ self.ranges_m) if self.known else math.nan

    @property
    def sigma_m(self) -> float:
        """Standard deviation of the whole mixture; NaN where nothing is known."""
        if not self.known:
            return math.nan
        spread = self.weights @ (self.ranges_m - self.mean_m) ** 2
        return math.sqrt(float(spread + self.weights @ self.sigmas_m**2))

    def log_density(self, range_m: float) -> float:
        """Log probability density of a reading, 1/m; NaN where nothing is known."""
        if not self.known:
            return math.nan
        z = (range_m - self.ranges_m) / self.sigmas_m
        logs = np.log(self.weights) - 0.5 * z**2 - np.log(math.sqrt(2.0 * math.pi) * self.sigmas_m)
        best = float(logs.max())
        return best + math.log(float(np.exp(logs - best).sum()))

    def probability_between(self, low_m: float, high_m: float) -> float:
        """Probability of a range between two bounds."""
        if not self.known:
            return 0.0
        scale = math.sqrt(2.0) * self.sigmas_m
        share = erf((high_m - self.ranges_m) / scale) - erf((low_m - self.ranges_m) / scale)
        return float(0.5 * (self.weights @ share))
