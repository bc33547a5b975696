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

SIZES_M = (150.0, 1500.0)
"""1 sigma an axis, equally likely, of an error that is not known."""
MAP_UPWARD = 0.2
"""The same of a map's, upward, over that across: laser altimetry ties its heights."""
UNKNOWN_ACCELERATION_M_PER_S2 = 0.1
"""1 sigma of the acceleration by which a faulty inertial unit drifts, where ranges tell of it."""
UNKNOWN_DRIFT_M_PER_S = 10.0
"""1 sigma of the speed at which dead reckoning with a faulty inertial unit moves off."""
SHARED = 0.7
"""Share of an innovation's variance that the fixes of some seconds have in common, beside what
`trn.navigation.filter` has learnt of it."""
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
    fixes: Sequence[FixEvidence],
    before: FixEvidence | None,
    state_jump_m: Array,
    jump_sigma_m: float,
) -> FixLikelihoods:
    """Log likelihoods of a run of fixes, oldest first.

    before: the last fix that was taken, None without one. state_jump_m: (3,), navigated place minus
    witness; jump_sigma_m: what it may honestly be, 1 sigma an axis. A wrong map or clock shifts
    fixes all at once and then stays; dead reckoning that drifts moves off step by step from where
    the last fix stood; wrong fixes err each for itself.
    """
    jump = log_normal(state_jump_m, jump_sigma_m**2 * np.eye(3))
    wide_jump = _log_wide(state_jump_m, np.zeros((3, 3)), np.eye(3))
    consistent = state = drift = persistent = clock = camera = 0.0
    for k, fix in enumerate(fixes):
        off_m = fix.from_navigation_m
        both = fix.covariance_m2 + WITNESS_FLOOR_M**2 * np.eye(3)
        consistent += log_normal(off_m, fix.covariance_m2)
        state += log_normal(fix.from_witness_m, both)
        drift += _drifted(fix, before) if k == 0 else _drifted_on(fix, fixes[k - 1])
        camera += _log_wide(off_m, both, np.eye(3))
        if k == 0:
            late = np.outer(fix.velocity_m_per_s, fix.velocity_m_per_s)
            sideways = np.eye(3) - (1.0 - MAP_UPWARD**2) * np.outer(fix.up, fix.up)
            persistent += _log_wide(off_m, both, sideways)
            clock += log_normal(off_m, both + UNKNOWN_DELAY_S**2 * late)
        else:
            first = fixes[:k]
            known_m = np.mean([other.from_navigation_m for other in first], axis=0)
            own = (1.0 - SHARED) * fix.fix_covariance_m2 * (1.0 + 1.0 / k)
            again = own + WITNESS_FLOOR_M**2 * np.eye(3)
            persistent += log_normal(off_m - known_m, again)
            # A wrong stamp shifts them by more where the lander flies faster.
            delay_s = np.mean([_delay_s(other) for other in first])
            velocity = np.mean([other.velocity_m_per_s for other in first], axis=0)
            by_speed_m = delay_s * (fix.velocity_m_per_s - velocity)
            clock += log_normal(off_m - known_m - by_speed_m, again)
    return FixLikelihoods(
        consistent + jump,
        state + wide_jump,
        drift + jump,
        persistent + jump,
        clock + jump,
        camera + jump,
    )


def _log_wide(residual_m: Array, covariance_m2: Array, shape: Array) -> float:
    """Log density of a residual with an error of unknown size, of a shape (3, 3), on top."""
    logs = [log_normal(residual_m, covariance_m2 + size**2 * shape) for size in SIZES_M]
    return float(np.logaddexp.reduce(logs)) - math.log(len(SIZES_M))


def _drifted(fix: FixEvidence, before: FixEvidence | None) -> float:
    """Log likelihood of a fix where dead reckoning moved off since the last one that was taken."""
    since_s = fix.unaided_s if before is None else max(fix.time_s - before.time_s, 0.0)
    astray_m2 = (UNKNOWN_DRIFT_M_PER_S * since_s) ** 2
    return log_normal(fix.from_navigation_m, fix.covariance_m2 + astray_m2 * np.eye(3))


def _drifted_on(fix: FixEvidence, last: FixEvidence) -> float:
    """The same since a fix that was not taken: what that one showed goes on."""
    astray_m = UNKNOWN_DRIFT_M_PER_S * max(fix.time_s - last.time_s, 0.0)
    own = (1.0 - SHARED) * (fix.fix_covariance_m2 + last.fix_covariance_m2)
    spread = own + astray_m**2 * np.eye(3)
    return log_normal(fix.from_navigation_m - last.from_navigation_m, spread)


def _delay_s(fix: FixEvidence) -> float:
    """The wrong time stamp that a fix's offset along the flight would stand for."""
    square = float(fix.velocity_m_per_s @ fix.velocity_m_per_s)
    return float(fix.from_navigation_m @ fix.velocity_m_per_s) / max(square, 1e-6)
