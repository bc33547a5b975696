"""Which matches agree: sampled consensus over the linearised problem with its prior."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import betainc

from trn.camera import Camera
from trn.solve.linear import inverse, times
from trn.solve.pose import Array, Matches, PoseEstimate
from trn.solve.projection import project_with_slopes

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
    waits = _exponentials(seed, 1 << (hypotheses * count - 1).bit_length())
    best: NDArray[np.bool_] = _largest_set(
        *prior.arrays(),
        *matches.arrays(),
        matches.score,
        camera.lens,
        floor_px**2,
        waits[: hypotheses * count].reshape(hypotheses, count),
        gate,
    )
    return best


@lru_cache(maxsize=8)
def _exponentials(seed: int, count: int) -> Array:
    """Exponentially distributed numbers, shape (count,), read-only; fewer are the same first ones.

    Kept, as they are the same from frame to frame.
    """
    numbers = -np.log(1.0 - np.random.default_rng(seed).random(count))
    numbers.setflags(write=False)
    return numbers


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_set(
    quaternion: Array,
    position: Array,
    prior_covariance: Array,
    points: Array,
    pixels: Array,
    covariance: Array,
    score: Array,
    lens: Array,
    floor: float,
    waits: Array,
    gate: float,
) -> NDArray[np.bool_]:
    """The largest set that a sample leads to, then made to explain itself, bool (N,).

    floor: added to each variance. waits: (hypotheses, N), exponentially distributed: over the
    chances of the matches, the shortest are a sample drawn in proportion to these.
    """
    design, residual = _whitened(quaternion, position, points, pixels, covariance, lens, floor)
    prior_information = inverse(prior_covariance)
    count = waits.shape[1]
    patience = np.empty(count)
    for n in range(count):
        patience[n] = 1.0 / min(max(score[n], 0.05), 1.0) ** 2
    best, most = np.zeros(6), -1
    for h in range(waits.shape[0]):
        correction = _correction(_shortest(waits[h], patience), prior_information, design, residual)
        agreeing = 0
        for n in range(count):
            agreeing += _square(correction, design, residual, n) < gate
        if agreeing > most:
            best, most = correction, agreeing
        if most == count:
            break
    agrees = _agreement(best, design, residual, gate)
    # Refit on all its members until it no longer changes.
    for _ in range(10):
        members = np.nonzero(agrees)[0]
        refit = _agreement(
            _correction(members, prior_information, design, residual), design, residual, gate
        )
        if (refit == agrees).all():
            break
        agrees = refit
    return agrees


@njit(cache=True, nogil=True, error_model="numpy")
def _whitened(
    quaternion: Array,
    position: Array,
    points: Array,
    pixels: Array,
    covariance: Array,
    lens: Array,
    floor: float,
) -> tuple[Array, Array]:
    """Slopes (2, 6, N) and residuals (2, N) of matches, in units of standard deviations.

    Both are times the inverse of the Cholesky factor of a match's covariance: what is left of a
    match then has unit covariance.
    """
    count = points.shape[0]
    seen, slopes = project_with_slopes(quaternion, position, points, lens)
    design, residual = np.empty((2, 6, count)), np.empty((2, count))
    for n in range(count):
        x_square, y_square = covariance[n, 0, 0] + floor, covariance[n, 1, 1] + floor
        slope = covariance[n, 1, 0] / x_square
        x_sigma, y_sigma = math.sqrt(x_square), math.sqrt(y_square - slope * covariance[n, 1, 0])
        x, y = pixels[n, 0] - seen[n, 0], pixels[n, 1] - seen[n, 1]
        residual[0, n], residual[1, n] = x / x_sigma, (y - slope * x) / y_sigma
        for i in range(6):
            x, y = slopes[n, 0, i], slopes[n, 1, i]
            design[0, i, n], design[1, i, n] = x / x_sigma, (y - slope * x) / y_sigma
    return design, residual


@njit(cache=True, nogil=True, error_model="numpy")
def _shortest(waits: Array, patience: Array) -> NDArray[np.int64]:
    """Where the SAMPLE smallest products of waits and patience, both (N,), are."""
    chosen = np.zeros(SAMPLE, dtype=np.int64)
    shortest = np.full(SAMPLE, np.inf)
    for n in range(waits.shape[0]):
        wait, k = waits[n] * patience[n], SAMPLE - 1
        if wait >= shortest[k]:
            continue
        while k > 0 and wait < shortest[k - 1]:
            shortest[k], chosen[k] = shortest[k - 1], chosen[k - 1]
            k -= 1
        shortest[k], chosen[k] = wait, n
    return chosen


@njit(cache=True, nogil=True, error_model="numpy")
def _correction(
    members: NDArray[np.int64], prior_information: Array, design: Array, residual: Array
) -> Array:
    """The correction (6,) that members, indices of matches, and prior lead to."""
    information, right = prior_information.copy(), np.zeros(6)
    for n in members:
        for axis in range(2):
            for i in range(6):
                right[i] += design[axis, i, n] * residual[axis, n]
                for j in range(6):
                    information[i, j] += design[axis, i, n] * design[axis, j, n]
    correction: Array = times(inverse(information), right)
    return correction


@njit(cache=True, nogil=True, error_model="numpy")
def _square(correction: Array, design: Array, residual: Array, n: int) -> float:
    """Squared distance that a correction leaves of a match."""
    x, y = residual[0, n], residual[1, n]
    for i in range(6):
        x -= design[0, i, n] * correction[i]
        y -= design[1, i, n] * correction[i]
    return float(x * x + y * y)


@njit(cache=True, nogil=True, error_model="numpy")
def _agreement(correction: Array, design: Array, residual: Array, gate: float) -> NDArray[np.bool_]:
    """Which matches agree with a correction, bool (N,)."""
    agrees = np.empty(residual.shape[1], dtype=np.bool_)
    for n in range(residual.shape[1]):
        agrees[n] = _square(correction, design, residual, n) < gate
    return agrees


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
