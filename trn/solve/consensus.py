"""Which matches agree: sampled consensus over the linearised problem with its prior."""

from __future__ import annotations

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
    residual = _whitened((matches.pixels_px - seen)[..., None], covariance)
    turned = np.swapaxes(design, 1, 2)
    information, right = turned @ design, (turned @ residual)[..., 0]
    prior_information = np.linalg.inv(prior.covariance)

    generator = np.random.default_rng(seed)
    chance = np.clip(matches.score, 0.05, 1.0) ** 2
    # Whose exponential waits end first are drawn without replacement in proportion to `chance`.
    waits = -np.log(1.0 - generator.random((hypotheses, count))) / chance
    drawn_information, drawn_right = _sums_of_first(waits, information, right)
    agrees = _agreement(prior_information + drawn_information, drawn_right, design, residual, gate)
    best: NDArray[np.bool_] = agrees[int(np.argmax(agrees.sum(axis=1)))]
    # Let the set explain itself: refit on all its members until it no longer changes.
    for _ in range(10):
        refit = _agreement(
            (prior_information + information[best].sum(axis=0))[None],
            right[best].sum(axis=0)[None],
            design,
            residual,
            gate,
        )[0]
        if (refit == best).all():
            break
        best = refit
    return best


def _whitened(values: Array, covariance: Array) -> Array:
    """Values (N, 2, M) times the inverse of the Cholesky factors of covariances (N, 2, 2)."""
    x_sigma = np.sqrt(covariance[:, 0, 0])
    slope = covariance[:, 1, 0] / covariance[:, 0, 0]
    y_sigma = np.sqrt(covariance[:, 1, 1] - slope * covariance[:, 1, 0])
    x, y = values[:, 0], values[:, 1]
    return np.stack([x / x_sigma[:, None], (y - slope[:, None] * x) / y_sigma[:, None]], axis=1)


@njit(cache=True, nogil=True, error_model="numpy")
def _sums_of_first(waits: Array, information: Array, right: Array) -> tuple[Array, Array]:
    """Information (H, 6, 6) and right side (H, 6) of the matches of the SAMPLE shortest waits.

    waits: (H, N). information: (N, 6, 6), right: (N, 6), of each match.
    """
    told, pulled = np.zeros((waits.shape[0], 6, 6)), np.zeros((waits.shape[0], 6))
    first = np.empty(SAMPLE, dtype=np.int64)
    for h in range(waits.shape[0]):
        for n in range(waits.shape[1]):
            # The first so far, shortest wait first, and where this one comes among them.
            place = min(n, SAMPLE)
            while place > 0 and waits[h, n] < waits[h, first[place - 1]]:
                place -= 1
                if place + 1 < SAMPLE:
                    first[place + 1] = first[place]
            if place < SAMPLE:
                first[place] = n
        for chosen in first:
            for i in range(6):
                pulled[h, i] += right[chosen, i]
                for j in range(6):
                    told[h, i, j] += information[chosen, i, j]
    return told, pulled


def _agreement(
    information: Array, right: Array, design: Array, residual: Array, gate: float
) -> NDArray[np.bool_]:
    """Which matches, whitened, agree with each hypothesis, bool (hypotheses, N)."""
    corrections = np.linalg.solve(information, right[..., None])[..., 0]
    left = residual.transpose(1, 2, 0) - corrections @ design.transpose(1, 2, 0)
    agrees: NDArray[np.bool_] = np.asarray(left[0] ** 2 + left[1] ** 2 < gate)
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
