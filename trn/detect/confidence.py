"""How sure it is that a rim is a crater's, from how it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Logistic regression on candidates in renderings: python -m bench.craters fit --scenes FOLDER
WEIGHTS = np.array(
    [
        -0.0157, -0.261, 0.54, -0.589, 0.41, 0.603, -0.325,
        -0.606, -1.94, -1.45, -2.99, 2.28, -4.24, 2.37,
        -0.266, 0.173, 0.542, -1.05, -0.781, 0.0585, 0.168,
        1.98, -0.329, 1.06, -1.06, -4.19, 0.13, -1.12,
        1.86, 2.85, -8.33, -0.43, 13.3, 0.303,
    ]
)  # fmt: skip
OFFSET = -12.8


def confidence(features: Array) -> Array:
    """Chance (N,) that each candidate is a crater, from its features (N, 34).

    See trn.detect.rim for the first 32, trn.detect.filter for the last two.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(features @ WEIGHTS + OFFSET, -50.0, 50.0))))
