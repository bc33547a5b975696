"""How sure it is that a rim is a crater's, from how it looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Logistic regression on candidates in renderings: python -m bench.craters fit SCENES
WEIGHTS = np.zeros(34)
OFFSET = 0.0


def confidence(features: Array) -> Array:
    """Chance (N,) that each candidate is a crater, from its features (N, 34).

    See trn.detect.rim for the first 32, trn.detect.filter for the last two.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(features @ WEIGHTS + OFFSET, -50.0, 50.0))))
