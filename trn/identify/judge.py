"""Which craters a pose shows, and what the odds are that it is no accident.

Two accounts of the ellipses are weighed. Under the first they show catalogue craters from a pose
near the one found: each crater in sight is detected with some chance, where the pose puts it, give
or take its noise; what is left over is clutter. Under the second all is clutter: ellipses anywhere
in the frame, shaped like those there are. The ratio of their probabilities, integrated over all
poses allowed before (Laplace's approximation about the best one), is the odds for the first when
both were equally likely. Many poses tried do not need a penalty of their own: the integral has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from trn.identify.index import CraterIndex
from trn.identify.refine import craters_in_sight, seen_rims, sigmas
from trn.identify.rims import size_of

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

SIZE_SPREAD = 0.25
"""Width, in logarithms, of each ellipse's part in the density of sizes."""
GATE = 30.0
"""Squared distance, five numbers, beyond which no match is looked at; the odds decide below it. A
Gaussian's would be 20.5 for one right match in a thousand; axes and angles err by more."""
SURE = 0.7
"""Least probability of a match, among all that may be instead."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a pose explains.

    matches: (N,), crater of each ellipse or -1, only those that are sure. log_ratio: logarithm of
    the likelihood ratio at the pose, before any prior. explained: ellipses with a crater.
    """

    matches: Indices
    log_ratio: float
    explained: int


def clutter_density(five: Array, frame: Array) -> Array:
    """Logarithm (N,) of how many ellipses like each there are per unit of the five numbers."""
    trace = five[:, 2] + five[:, 3]
    log_size = np.log(np.maximum(size_of(five), 1e-6))
    apart = (log_size[:, None] - log_size[None, :]) / SIZE_SPREAD
    size = np.exp(-0.5 * apart**2).mean(1) / (math.sqrt(2 * math.pi) * SIZE_SPREAD)
    bent = np.stack([five[:, 2] - five[:, 3], math.sqrt(2.0) * five[:, 4]], -1) / trace[:, None]
    off = bent - bent.mean(0)
    spread = off.T @ off / len(five) + 0.1**2 * np.eye(2)
    square = (off @ np.linalg.inv(spread) * off).sum(-1)
    form = np.exp(-0.5 * square) / (2 * math.pi * math.sqrt(np.linalg.det(spread)))
    # From logarithm of size and form to the three numbers of the shape.
    turn = 2.0 * math.sqrt(2.0) / trace**3
    density = len(five) / (frame[0] * frame[1]) * size * form * turn
    return np.asarray(np.log(density))


def judged(
    index: CraterIndex,
    rotation: Array,
    position: Array,
    unit: float,
    five: Array,
    base: Array,
    cap: Array,
    clutter: Array,
    lens: Array,
    frame: Array,
) -> Verdict:
    """Matches of the ellipses at a pose, one crater an ellipse, and the likelihood ratio."""
    nothing = np.full(len(five), -1, dtype=np.int64)
    least = float(np.quantile(size_of(five), 0.1))
    chosen = craters_in_sight(
        rotation, position, index.centre, index.normal, index.radius_m, lens, frame,
        3.0 * unit, 0.6 * least,
    )  # fmt: skip
    if not len(chosen):
        return Verdict(nothing, -math.inf, 0)
    seen = seen_rims(rotation, position, index.centre, index.first, index.second, lens, chosen)
    sigma, shape = sigmas(unit, base, cap).T
    apart = five[:, None, :] - seen[None, :, :]
    square = (apart[..., :2] ** 2).sum(-1) / sigma[:, None] ** 2
    square += (apart[..., 2:] ** 2).sum(-1) / shape[:, None] ** 2
    near = square < GATE
    if not near.any():
        return Verdict(nothing, -math.inf, 0)
    density = (
        -0.5 * square
        - (2.5 * math.log(2 * math.pi))
        - (2.0 * np.log(sigma) + 3.0 * np.log(shape) + clutter)[:, None]
    )
    due = float((size_of(seen) >= least).sum())
    recall = 0.6
    gain = density
    for _ in range(2):
        gain = np.where(near, density + math.log(recall / (1.0 - recall)), -1e6)
        rows, columns = linear_sum_assignment(-np.maximum(gain, 0.0))
        taken = gain[rows, columns] > 0.0
        rows, columns = rows[taken], columns[taken]
        recall = min(max(len(rows) / max(due, len(rows), 1.0), 0.1), 0.95)
    log_ratio = float(gain[rows, columns].sum()) + max(due, len(rows)) * math.log(1.0 - recall)
    # Each match against all else: no crater, a crater that is free, an ellipse that is free.
    free_rows = np.ones(len(five), dtype=bool)
    free_rows[rows] = False
    free_columns = np.ones(len(chosen), dtype=bool)
    free_columns[columns] = False
    odds = np.exp(np.minimum(gain, 500.0))
    own = odds[rows, columns]
    instead = 1.0 + odds[rows][:, free_columns].sum(1)
    instead = np.maximum(instead, 1.0 + odds[free_rows][:, columns].sum(0))
    # Two matches that would fit about as well crosswise.
    crossed = np.exp(
        np.minimum(
            gain[rows][:, columns] + gain[rows][:, columns].T
            - gain[rows, columns][:, None] - gain[rows, columns][None, :],
            0.0,
        )
    )  # fmt: skip
    np.fill_diagonal(crossed, 0.0)
    probability = 1.0 / (1.0 + instead / own + crossed.sum(1))
    sure = probability >= SURE
    matches = nothing.copy()
    matches[rows[sure]] = chosen[columns[sure]]
    return Verdict(matches, log_ratio, len(rows))
