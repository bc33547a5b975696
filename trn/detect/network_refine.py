"""A second look at each find: its crop, what is said of it, and the ellipse that it then is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from trn.detect.crops import frames
from trn.detect.ellipses import mapped, of_shape
from trn.detect.network_look import Look

Array = NDArray[np.float64]

# What no right find needs; it keeps wild answers of pictures unlike any seen within bounds.
_MOST_SHIFT, _MOST_GROWTH = 0.5, 0.7
_MOST_TURN = math.pi / math.sqrt(12.0)

# How much of what the refiner adds to the log-odds counts: it sees less of the ground around than
# the network. Chosen on renderings of the regions trained on.
_ODDS_SHARE = 0.5

# The errors' standard deviations over those that the refiner states, of centre, size and shape:
# fitted to craters of 12 to 150 px in renderings of the regions trained on (models.measure).
_FACTORS = np.array([1.05, 1.08, 0.86])
_LOG_SPREAD = -7.0, 0.0


def refined(look: Look, rows: Array) -> tuple[Array, Array]:
    """Rows x, y, a, b, theta, score (N, 6) of finds as the refiner sees them, and covariances.

    look: at the image; models/refiner.py says what its answers mean. Covariances: (N, 5, 5) of x,
    y, a, b, theta.
    """
    to_pixels = frames(rows[:, :5])
    told = look.answers(rows[:, :2], to_pixels).astype(np.float64)
    radius = 0.5 * np.exp(np.clip(told[:, 3], -_MOST_GROWTH, _MOST_GROWTH))
    shift = np.clip(told[:, 1:3], -_MOST_SHIFT, _MOST_SHIFT)
    ellipses = mapped(of_shape(shift, radius, told[:, 4:6]), to_pixels, rows[:, :2])
    score = expit(logit(rows[:, 5]) + _ODDS_SHARE * told[:, 0])
    spread = np.exp(np.clip(told[:, 6:], *_LOG_SPREAD)) * _FACTORS
    return np.column_stack([ellipses, score]), _covariance(ellipses, to_pixels, spread)


def _covariance(ellipses: Array, to_pixels: Array, spread: Array) -> Array:
    """Covariances (N, 5, 5) of x, y, a, b, theta.

    spread: (N, 3), standard deviations of the centre in the crop's plane, of log r and of each
    component of the shape. a = r exp(s / 2), b = r exp(-s / 2) and theta come from the radius r
    and the vector s (cos 2 theta, sin 2 theta), whose errors are independent.
    """
    a, b = ellipses[:, 2], ellipses[:, 3]
    centre, size, shape = spread.T
    own, common = size**2 + 0.25 * shape**2, size**2 - 0.25 * shape**2
    # Nearly round: any angle will do, even over half a turn.
    stretch = np.maximum(np.log(a / b), 1e-9)
    out = np.zeros((len(ellipses), 5, 5))
    out[:, :2, :2] = (centre**2)[:, None, None] * (to_pixels @ np.swapaxes(to_pixels, 1, 2))
    out[:, 2, 2], out[:, 3, 3] = own * a**2, own * b**2
    out[:, 2, 3] = out[:, 3, 2] = common * a * b
    out[:, 4, 4] = np.minimum(_MOST_TURN, 0.5 * shape / stretch) ** 2
    return out
