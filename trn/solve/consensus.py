"""Which matches agree: sampled consensus over the linearised problem with its prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

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
    residual = matches.pixels_px - seen
    covariance = matches.covariance_px2 + floor_px**2 * np.eye(2)
    weight = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    weighted = np.swapaxes(design, 1, 2) @ weight
    information = weighted @ design
    right = (weighted @ residual[..., None])[..., 0]
    prior_information = np.linalg.inv(prior.covariance)

    generator = np.random.default_rng(seed)
    chance = np.clip(matches.score, 0.05, 1.0) ** 2
    # Gumbel keys draw without replacement in proportion to `chance`.
    keys = np.log(chance) + generator.gumbel(size=(hypotheses, count))
    samples = np.argpartition(-keys, SAMPLE - 1, axis=1)[:, :SAMPLE]
    agrees = _agreement(
        prior_information + information[samples].sum(axis=1),
        right[samples].sum(axis=1),
        design,
        residual,
        weight,
        gate,
    )
    best: NDArray[np.bool_] = agrees[int(np.argmax(agrees.sum(axis=1)))]
    # Let the set explain itself: refit on all its members until it no longer changes.
    for _ in range(10):
        refit = _agreement(
            (prior_information + information[best].sum(axis=0))[None],
            right[best].sum(axis=0)[None],
            design,
            residual,
            weight,
            gate,
        )[0]
        if (refit == best).all():
            break
        best = refit
    return best


def _agreement(
    information: Array,
    right: Array,
    design: Array,
    residual: Array,
    weight: Array,
    gate: float,
) -> NDArray[np.bool_]:
    """Which matches agree with each hypothesis, bool (hypotheses, N)."""
    corrections = np.linalg.solve(information, right[..., None])[..., 0]
    count = residual.shape[0]
    left = residual[None] - (corrections @ design.reshape(-1, 6).T).reshape(-1, count, 2)
    x, y = left[..., 0], left[..., 1]
    square = weight[:, 0, 0] * x * x + 2 * weight[:, 0, 1] * x * y + weight[:, 1, 1] * y * y
    agrees: NDArray[np.bool_] = np.asarray(square < gate)
    return agrees


def chance_of_consensus(searched: int, agreeing: int, probability: float) -> float:
    """Expected number of sets this large if every match were drawn at random in its window.

    probability: that a random match agrees with a given pose (agreement area / window area).
    After Moisan and Stival (2004): number of samples times a binomial tail.
    """
    if agreeing <= SAMPLE:
        return 1.0
    tests = searched * (searched - 1) * (searched - 2) / 6.0
    tail = float(binom.sf(agreeing - SAMPLE - 1, searched - SAMPLE, min(probability, 1.0)))
    return tests * tail
