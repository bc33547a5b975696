"""Which matches agree: sampled consensus over the linearised problem with its prior."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import betainc

from trn.camera import Camera
from trn.solve.pose import Array, Matches, PoseEstimate, seen_with_slopes

SAMPLE = 3
"""Matches a hypothesis: with the prior's help three fix all six unknowns."""


def find_consensus(
    camera: Camera,
    prior: PoseEstimate,
    matches: Matches,
    *,
    gate: float = 11.8,
    floor_px: float = 1.0,
    hypotheses: int = 200,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """The largest set of matches that one pose near the prior explains, bool (N,).

    Hypotheses are maximum a-posteriori corrections from samples of three matches; a match agrees
    when its squared Mahalanobis distance stays under `gate` (2 degrees of freedom), its covariance
    widened by floor_px for what the linearisation leaves out. Best matches are drawn more often.
    """
    count = len(matches)
    if count < SAMPLE:
        return np.zeros(count, dtype=bool)
    seen, design = seen_with_slopes(camera, prior.pose, matches.points_m)
    # In units of standard deviations: what is left of a match then has unit covariance.
    covariance = matches.widened(floor_px).covariance_px2
    design = _whitened(design, covariance)
    residual = _whitened((matches.pixels_px - seen)[..., None], covariance)[..., 0]

    generator = np.random.default_rng(seed)
    chance = np.clip(matches.score, 0.05, 1.0) ** 2
    # Whose exponential waits end first are drawn without replacement in proportion to `chance`.
    waits = -np.log(1.0 - generator.random((hypotheses, count))) / chance
    prior_information = np.asarray(np.linalg.inv(prior.covariance), dtype=np.float64)
    best: NDArray[np.bool_] = _largest_set(waits, prior_information, design, residual, gate)
    return best


def _whitened(values: Array, covariance: Array) -> Array:
    """Values (N, 2, M) times the inverse of the Cholesky factors of covariances (N, 2, 2)."""
    x_sigma = np.sqrt(covariance[:, 0, 0])
    slope = covariance[:, 1, 0] / covariance[:, 0, 0]
    y_sigma = np.sqrt(covariance[:, 1, 1] - slope * covariance[:, 1, 0])
    x, y = values[:, 0], values[:, 1]
    return np.stack([x / x_sigma[:, None], (y - slope[:, None] * x) / y_sigma[:, None]], axis=1)


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_set(
    waits: Array, prior_information: Array, design: Array, residual: Array, gate: float
) -> NDArray[np.bool_]:
    """The largest set that a sample leads to, then made to explain itself, bool (N,).

    waits: (hypotheses, N); the shortest are the sample. design: (N, 2, 6) and residual: (N, 2),
    whitened.
    """
    best, most = np.zeros(waits.shape[1], dtype=np.bool_), -1
    for h in range(waits.shape[0]):
        agrees = _agreement(_first(waits[h]), prior_information, design, residual, gate)
        count = agrees.sum()
        if count > most:
            best, most = agrees, count
    # Refit on all its members until it no longer changes.
    for _ in range(10):
        refit = _agreement(best, prior_information, design, residual, gate)
        if (refit == best).all():
            break
        best = refit
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _first(waits: Array) -> NDArray[np.bool_]:
    """Where the SAMPLE shortest of waits (N,) are, bool (N,)."""
    chosen = np.zeros(waits.shape[0], dtype=np.bool_)
    for _ in range(SAMPLE):
        shortest = -1
        for n in range(waits.shape[0]):
            if not chosen[n] and (shortest < 0 or waits[n] < waits[shortest]):
                shortest = n
        chosen[shortest] = True
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def _agreement(
    members: NDArray[np.bool_],
    prior_information: Array,
    design: Array,
    residual: Array,
    gate: float,
) -> NDArray[np.bool_]:
    """Which matches agree with the correction that members, bool (N,), and prior lead to."""
    information, right = prior_information.copy(), np.zeros(6)
    for n in range(members.shape[0]):
        if members[n]:
            for axis in range(2):
                for i in range(6):
                    right[i] += design[n, axis, i] * residual[n, axis]
                    for j in range(i + 1):
                        information[i, j] += design[n, axis, i] * design[n, axis, j]
    correction = _solved(information, right)
    agrees = np.empty(members.shape[0], dtype=np.bool_)
    for n in range(members.shape[0]):
        square = 0.0
        for axis in range(2):
            left = residual[n, axis]
            for i in range(6):
                left -= design[n, axis, i] * correction[i]
            square += left * left
        agrees[n] = square < gate
    return agrees


@njit(cache=True, nogil=True, error_model="numpy")
def _solved(matrix: Array, right: Array) -> Array:
    """x (6,) with matrix @ x = right, by Cholesky; NaN where it is not positive definite.

    LAPACK takes ten times as long for so few. matrix: (6, 6), of which the lower triangle is read.
    """
    factor, x = np.zeros((6, 6)), right.copy()
    for i in range(6):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(rest) if i == j else rest / factor[j, j]
            if j < i:
                x[i] -= factor[i, j] * x[j]
        x[i] /= factor[i, i]
    for i in range(5, -1, -1):
        for k in range(i + 1, 6):
            x[i] -= factor[k, i] * x[k]
        x[i] /= factor[i, i]
    return x


def chance_of_consensus(searched: int, agreeing: int, probability: float) -> float:
    """Expected number of sets this large if every match were drawn at random in its window.

    probability: that a random match agrees with a given pose (agreement area / window area).
    After Moisan and Stival (2004): number of samples times a binomial tail.
    """
    if agreeing <= SAMPLE:
        return 1.0
    tests = searched * (searched - 1) * (searched - 2) / 6.0
    # Of a binomial distribution: at least so many of the others.
    tail = float(betainc(agreeing - SAMPLE, searched - agreeing + 1, min(probability, 1.0)))
    return tests * tail
