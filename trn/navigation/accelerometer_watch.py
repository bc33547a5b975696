"""Whether an accelerometer's bias has stepped, told by image fixes the navigation has taken.

A step that is too small for one fix to stand out bends the whole track: the fixes draw away from
dead reckoning with the square of time. Each onset in the window competes with "no step", in exact
Gaussian evidence (generalised likelihood ratio of Willsky and Jones 1976, IEEE Trans. Automatic
Control 21(1), with the step integrated out instead of maximised).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.moon.frames import east_north_up
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE
from trn.navigation.state import ACCELEROMETER_BIAS, VELOCITY, NavigationState

Array = NDArray[np.float64]

WINDOW = 20
"""Fixes that are looked at."""
LEAST = 4
"""Fixes from which on a bend can be told from a wrong velocity."""
STEPS_M_PER_S2 = (0.1, 0.4, 1.6)
"""Sizes of the step that are supposed, 1 sigma an axis, equally likely."""
PLACE_SIGMA_M = 1000.0
"""Where the track begins is left to the fixes: their errors are in the state it begins from."""
LOUDER = ((1.0, 0.0), (2.0, -6.0), (4.0, -8.0))
"""Fixes may err by more than they say: by how much, and the log odds of that."""
SHIFTS_M = (30.0, 100.0, 400.0)
SHIFT_PRIOR = -4.0
"""Fixes may also be shifted, all from one on or some in between: 1 sigma an axis, and log odds."""
PRIOR = -10.0
"""Log odds of a step within the window: accelerometers hardly ever fail."""
DECIDED = math.log(4.0)
"""Posterior log odds from which a step is called: 0.8 to 0.2."""


@dataclass(frozen=True, eq=False)
class _Taken:
    """A fix, and how taking it moved the state: (3,) each, MOON_ME; acceleration by the bias.

    off_m: from the state before it. variance_m2: (3,), east, north, up. speed_sigma_m_per_s,
    bias_sigma_m_per_s2: of the state before it, 1 sigma an axis.
    """

    time_s: float
    off_m: Array
    variance_m2: Array
    fades_s: float
    position_m: Array
    velocity_m_per_s: Array
    acceleration_m_per_s2: Array
    speed_sigma_m_per_s: float
    bias_sigma_m_per_s2: float


class AccelerometerWatch:
    """Holds fixes against dead reckoning from the first of the last ones on."""

    def __init__(self) -> None:
        self._taken: list[_Taken] = []

    def restart(self) -> None:
        """Forget the track: the state was moved, or its accelerometers are doubted already."""
        self._taken.clear()

    def stepped(
        self,
        fix_m: Array,
        covariance_m2: Array,
        fades_s: float,
        before: NavigationState,
        after: NavigationState,
    ) -> bool:
        """Whether a step is called, now that a fix was taken.

        fix_m, covariance_m2: (3,) and (3, 3), MOON_ME. fades_s: time over which errors that fixes
        share fade by a factor e. before, after: the state at the fix's time, without it and with.
        """
        if self._taken and before.time_s <= self._taken[-1].time_s:
            return False
        axes = east_north_up(fix_m)
        bias = after.accelerometer_bias - before.accelerometer_bias
        self._taken.append(
            _Taken(
                before.time_s,
                fix_m - before.position_m,
                np.diag(axes @ covariance_m2 @ axes.T).copy(),
                fades_s,
                after.position_m - before.position_m,
                after.velocity_m_per_s - before.velocity_m_per_s,
                -before.rotation.T @ bias,
                _sigma(before, VELOCITY),
                _sigma(before, ACCELEROMETER_BIAS),
            )
        )
        del self._taken[:-WINDOW]
        if len(self._taken) < LEAST:
            return False
        return PRIOR + self._log_odds(axes) > DECIDED

    def _log_odds(self, axes: Array) -> float:
        """Log evidence of a step somewhere in the window over none."""
        taken = self._taken
        since_s = np.array([fix.time_s - taken[0].time_s for fix in taken])
        apart_s = np.abs(since_s[:, None] - since_s)
        fades_s = np.array([fix.fades_s for fix in taken])
        alike = VIEW_SHARE * np.exp(-apart_s / np.sqrt(np.outer(fades_s, fades_s))) + ALL_SHARE
        alike += (1.0 - VIEW_SHARE - ALL_SHARE) * np.eye(len(taken))
        known = (
            PLACE_SIGMA_M**2
            + np.outer(since_s, since_s) * taken[0].speed_sigma_m_per_s ** 2
            + np.outer(since_s**2, since_s**2) * (0.5 * taken[0].bias_sigma_m_per_s2) ** 2
        )
        begun = since_s[:, None] >= since_s
        bends = 0.5 * np.maximum(since_s[:, None] - since_s[:-2], 0.0) ** 2
        # Fixes shifted from each on, and, in some, to each of those after it.
        first, end = np.triu_indices(len(taken), 1)
        shifts = np.column_stack([begun[:, 1:], begun[:, first] & ~begun[:, end]]).astype(float)
        off = self._off_m(since_s) @ axes.T
        sigma = np.sqrt([fix.variance_m2 for fix in taken])
        without, stepped = [], []
        for louder, odds in LOUDER:
            evidence = odds
            bent = np.zeros((len(STEPS_M_PER_S2), bends.shape[1]))
            shifted = np.zeros((len(SHIFTS_M), shifts.shape[1]))
            for axis in range(3):
                own = louder**2 * alike * np.outer(sigma[:, axis], sigma[:, axis])
                root = np.linalg.cholesky(known + own)
                white = np.linalg.solve(root, np.column_stack([off[:, axis], bends, shifts]))
                evidence -= float(0.5 * white[:, 0] @ white[:, 0] + np.log(np.diag(root)).sum())
                bent += _gain(white[:, 0], white[:, 1 : 1 + bends.shape[1]], STEPS_M_PER_S2)
                shifted += _gain(white[:, 0], white[:, 1 + bends.shape[1] :], SHIFTS_M)
            without += [evidence, evidence + SHIFT_PRIOR + _mean_of(shifted)]
            stepped.append(evidence + _mean_of(bent))
        return float(np.logaddexp.reduce(stepped) - np.logaddexp.reduce(without))

    def _off_m(self, since_s: Array) -> Array:
        """Fixes minus dead reckoning from the state before the first of them, (N, 3)."""
        after_s = np.maximum(since_s[:, None] - since_s, 0.0)
        off, position, velocity, acceleration = (
            np.array([getattr(fix, name) for fix in self._taken])
            for name in ("off_m", "position_m", "velocity_m_per_s", "acceleration_m_per_s2")
        )
        moved = (after_s > 0.0) @ position + after_s @ velocity + 0.5 * after_s**2 @ acceleration
        return np.asarray(off + moved)


def _gain(white: Array, shapes: Array, sizes: tuple[float, ...]) -> Array:
    """Log evidence that supposed shapes add on one axis, (sizes, shapes).

    white: (N,), whitened fixes. shapes: (N, shapes), whitened too. sizes: 1 sigma.
    """
    pull, told = shapes.T @ white, (shapes**2).sum(axis=0)
    square = np.square(sizes)[:, None]
    return np.asarray(0.5 * (square * pull**2 / (1.0 + square * told) - np.log1p(square * told)))


def _mean_of(logs: Array) -> float:
    """Logarithm of the mean of what logarithms stand for."""
    return float(np.logaddexp.reduce(logs, axis=None)) - math.log(logs.size)


def _sigma(state: NavigationState, part: slice) -> float:
    """1 sigma an axis of a part of the state."""
    return math.sqrt(max(float(np.trace(state.covariance[part, part])) / 3.0, 0.0))
