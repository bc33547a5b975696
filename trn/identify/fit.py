"""The pose that pairs of ellipse and crater give together with a prior: robust Gauss-Newton."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.identify.refine import (
    LENGTH_M,
    back_to,
    covariance_of,
    damped_step,
    scales,
    slope,
)
from trn.identify.rims import rim_in_image
from trn.moon.turns import turned

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CAUCHY = 2.5
"""Standard deviations of a pair, all five numbers taken together per one, where its pull halves."""


@njit(cache=True, nogil=True, error_model="numpy")
def fitted(
    rotation: Array,
    position: Array,
    prior_rotation: Array,
    prior_position: Array,
    prior_information: Array,
    five: Array,
    sigma: Array,
    centre: Array,
    first: Array,
    second: Array,
    lens: Array,
    pair: Indices,
    steps: int,
) -> tuple[Array, Array, Array, Array]:
    """Pose, covariance (6, 6) and whitened residuals (K, 5) of pairs.

    five, sigma: (K, 5) and (K, 2), of the ellipses, pixels. pair: (K,), the crater of each.
    prior_information: (6, 6), metres and radians, zeros for none. The weights are Cauchy's over
    the mean square of the five numbers; the residuals are those at the last pose.
    """
    scale = scales()
    prior = prior_information * np.outer(scale, scale)
    information: Array = prior.copy()
    residual = np.zeros((pair.size, 5))
    here = np.empty(5)
    design = np.empty((5, 6))
    for step in range(steps + 1):
        information = prior.copy()
        right = prior @ back_to(prior_rotation, prior_position, rotation, position)
        for n in range(pair.size):
            j = pair[n]
            if not rim_in_image(rotation, position, centre[j], first[j], second[j], lens, here):
                residual[n] = 1e3
                continue
            slope(rotation, position, centre[j], first[j], second[j], lens, here, design)
            square = 0.0
            for r in range(5):
                residual[n, r] = (five[n, r] - here[r]) / (sigma[n, 0] if r < 2 else sigma[n, 1])
                square += residual[n, r] ** 2
            weight = 1.0 / (1.0 + square / 5.0 / CAUCHY**2)
            for r in range(5):
                by = 1.0 / (sigma[n, 0] if r < 2 else sigma[n, 1])
                for p in range(6):
                    right[p] += weight * by * design[r, p] * residual[n, r]
                    for q in range(6):
                        information[p, q] += weight * by * by * design[r, p] * design[r, q]
        if step == steps:
            break
        move = damped_step(information, right)
        if not np.isfinite(move).all() or np.abs(move).max() > 1.0:
            break
        position = position + LENGTH_M * move[:3]
        rotation = turned(rotation, move[3:])
    return rotation, position, covariance_of(information), residual


@njit(cache=True, nogil=True, error_model="numpy")
def pull_of(
    rotation: Array,
    position: Array,
    centre: Array,
    first: Array,
    second: Array,
    normal: Array,
    lens: Array,
    sigma: Array,
    step_m: float,
) -> Array:
    """How a metre of a rim's height pulls at a pose, (6,): design^T weight d five / d height.

    sigma: (2,), of its centre and shape numbers. By differences over step_m; zeros for a rim that
    is not seen.
    """
    here, higher = np.empty(5), np.empty(5)
    design = np.empty((5, 6))
    pull = np.zeros(6)
    if not rim_in_image(rotation, position, centre, first, second, lens, here):
        return pull
    raised = centre + step_m * normal
    if not rim_in_image(rotation, position, raised, first, second, lens, higher):
        return pull
    slope(rotation, position, centre, first, second, lens, here, design)
    scale = scales()
    for r in range(5):
        by = 1.0 / (sigma[0] if r < 2 else sigma[1])
        for p in range(6):
            pull[p] += by * by * design[r, p] / scale[p] * (higher[r] - here[r]) / step_m
    return pull
