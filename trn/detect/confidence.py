"""How sure it is that a rim is a crater's, from how it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Logistic regression on candidates in renderings: python -m bench.craters fit --scenes FOLDER
WEIGHTS = np.array(
    [
        0.00165, -0.363, 0.714, -0.678, 0.246, 0.567, -0.21,
        -0.829, -2.37, -1.59, -3.23, 2.05, -3.75, 2.23,
        0.0883, -0.231, 0.888, -1.43, -0.566, 0.0452, 0.0961,
        0.91, -0.127, 0.149, -1.63, -2.85, -1.01, -0.84,
        1.85, 2.97, -3.57, -0.3, 12.9, 0.36,
    ]
)  # fmt: skip
OFFSET = -13.48


def confidence(features: Array) -> Array:
    """Chance (N,) that each candidate is a crater, from its features (N, 34).

    See trn.detect.rim for the first 32, trn.detect.filter for the last two.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(features @ WEIGHTS + OFFSET, -50.0, 50.0))))
