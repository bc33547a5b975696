"""How far off a fix may be at a stated risk."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, norm

INTEGRITY_RISK = 1e-3


def protection_levels(
    covariance_enu_m2: NDArray[np.float64], risk: float = INTEGRITY_RISK
) -> tuple[float, float]:
    """Horizontal and vertical protection level, in metres, of a Gaussian position error.

    covariance_enu_m2: (3, 3), east, north, up. Half of the risk goes to each level; the horizontal
    one takes the longest axis of the error ellipse with 2 degrees of freedom (conservative).
    """
    longest = float(np.linalg.eigvalsh(covariance_enu_m2[:2, :2])[-1])
    horizontal = float(np.sqrt(longest * chi2.isf(risk / 2, 2)))
    vertical = float(norm.isf(risk / 4) * np.sqrt(covariance_enu_m2[2, 2]))
    return horizontal, vertical


def mixture_level(parts: Sequence[tuple[float, float, float]], risk: float) -> float:
    """Level that the magnitude of an error exceeds with probability `risk`, in metres.

    parts: (probability, mean, sigma) of Gaussians; their probabilities sum to 1.
    """

    def excess(level: float) -> float:
        beyond = sum(
            share * (_tail((level - mean) / sigma) + _tail((level + mean) / sigma))
            for share, mean, sigma in parts
        )
        return beyond - risk

    most = max(abs(mean) + 40.0 * sigma for _, mean, sigma in parts)
    return float(brentq(excess, 0.0, most, xtol=1e-3))


def _tail(z: float) -> float:
    """Probability that a standard normal exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))
