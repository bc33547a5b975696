"""What image fixes say about who is wrong: log likelihoods of a run of fixes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.altimetry.belief import FixEvidence

Array = NDArray[np.float64]

WIDE_M = 1000.0
"""1 sigma an axis of an error that is not known."""
UNKNOWN_ACCELERATION_M_PER_S2 = 0.1
"""1 sigma of the acceleration by which a faulty inertial unit drifts."""
UNKNOWN_DELAY_S = 0.5
"""1 sigma of a wrong time stamp."""
WITNESS_FLOOR_M = 3.0


@dataclass(frozen=True)
class FixLikelihoods:
    """Log likelihoods of the last fixes: all is well; the navigated state was changed though the
    inertial witness was not; dead reckoning drifted; map wrong; camera's time wrong; fixes wrong.
    """

    consistent: float = 0.0
    state: float = -math.inf
    drift: float = -math.inf
    map: float = -math.inf
    clock: float = -math.inf
    camera: float = -math.inf


@njit(cache=True)
def log_normal(residual: Any, covariance: Any) -> float:
    """Log density of a zero-mean Gaussian, residual (3,), covariance (3, 3)."""
    root = np.linalg.cholesky(covariance)
    square, logs = 0.0, 3.0 * np.log(2.0 * np.pi)
    z = np.empty(3)
    for i in range(3):
        rest = residual[i]
        for j in range(i):
            rest -= root[i, j] * z[j]
        z[i] = rest / root[i, i]
        square += z[i] * z[i]
        logs += 2.0 * np.log(root[i, i])
    return float(-0.5 * (square + logs))


def fix_likelihoods(
    fixes: Sequence[FixEvidence], state_jump_m: Array, jump_sigma_m: float
) -> FixLikelihoods:
    """Log likelihoods of a run of fixes, oldest first.

    state_jump_m: (3,), navigated place minus witness; jump_sigma_m: what it may honestly be, 1
    sigma an axis. A wrong map, or a wrong clock, errs the same way in each fix of the run; wrong
    fixes err each for itself.
    """
    wide = WIDE_M**2 * np.eye(3)
    jump = log_normal(state_jump_m, jump_sigma_m**2 * np.eye(3))
    wide_jump = log_normal(state_jump_m, wide)
    consistent = state = drift = persistent = clock = camera = 0.0
    for k, fix in enumerate(fixes):
        both = fix.covariance_m2 + WITNESS_FLOOR_M**2 * np.eye(3)
        consistent += log_normal(fix.from_navigation_m, fix.covariance_m2)
        state += log_normal(fix.from_witness_m, both)
        astray_m = 0.5 * UNKNOWN_ACCELERATION_M_PER_S2 * fix.unaided_s**2
        drift += log_normal(fix.from_navigation_m, both + astray_m**2 * np.eye(3))
        camera += log_normal(fix.from_navigation_m, both + wide)
        late = np.outer(fix.velocity_m_per_s, fix.velocity_m_per_s)
        if k == 0:
            persistent += log_normal(fix.from_navigation_m, both + wide)
            clock += log_normal(fix.from_navigation_m, both + UNKNOWN_DELAY_S**2 * late)
            continue
        first = fixes[:k]
        known = np.mean([other.from_navigation_m for other in first], axis=0)
        again = fix.fix_covariance_m2 * (1.0 + 1.0 / k) + WITNESS_FLOOR_M**2 * np.eye(3)
        persistent += log_normal(fix.from_navigation_m - known, again)
        delay_s = np.mean(
            [
                other.from_navigation_m
                @ other.velocity_m_per_s
                / float(other.velocity_m_per_s @ other.velocity_m_per_s)
                for other in first
            ]
        )
        clock += log_normal(fix.from_navigation_m - delay_s * fix.velocity_m_per_s, both)
    return FixLikelihoods(
        consistent + jump,
        state + wide_jump,
        drift + jump,
        persistent + jump,
        clock + jump,
        camera + jump,
    )
