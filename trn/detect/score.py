"""How good detections are against labels: boxes at IoU 0.5, and NASA's ellipse metric.

Two yardsticks: the overlap of axis-aligned boxes, by which hand-boxed images can be judged, and
that of NASA's crater detection challenge (Topcoder, 2025-26), which asks for the ellipse itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.detect.ellipses import Ellipses, diameters
from trn.detect.suppress import boxes, overlap

Array = NDArray[np.float64]

LEAST_OVERLAP = 0.5
LEAST_EXCUSING_OVERLAP = 0.4

CHI_SQUARE_GATE = 13.277
"""99 % point of chi-square with 4 degrees of freedom."""
RIM_ERROR_SHARE = 0.07
ENOUGH_MATCHES = 10
_GAUSSIAN_SIGMA = 0.85


@dataclass(frozen=True, eq=False)
class Matches:
    """Finds of one or more images against their labels.

    score, right: (N,), of each find that counts. truth, found: (M, 5), ellipses of each right one
    in the order of `right`. covariance: (M, 5, 5) of found, NaN where unknown. labels: how many
    craters there were to find.
    """

    score: Array
    right: NDArray[np.bool_]
    truth: Array
    found: Array
    covariance: Array
    labels: int

    @classmethod
    def joined(cls, parts: Sequence[Matches]) -> Matches:
        """The matches of several images as one; parts must not be empty."""
        return cls(
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.covariance for part in parts]),
            sum(part.labels for part in parts),
        )


def match(
    found: Ellipses,
    truth: Array,
    ignored: Array | None = None,
    sizes_px: tuple[float, float] = (0.0, math.inf),
    least_overlap: float = LEAST_OVERLAP,
) -> Matches:
    """Match finds to labels one to one by their boxes, surest first, each to the best one left.

    truth: (M, 5) as in Ellipses. ignored: (K, 5), labels that are neither asked for nor wrong to
    find. sizes_px: diameters asked for; other labels are ignored, and so are other finds that hit
    nothing. A find is right at an IoU of least_overlap.
    """
    asked = (diameters(truth) >= sizes_px[0]) & (diameters(truth) <= sizes_px[1])
    excusing = truth[~asked] if ignored is None else np.concatenate([truth[~asked], ignored])
    wanted = truth[asked]
    own = diameters(found.values)
    around = boxes(found.values)
    shared = overlap(around, boxes(wanted))
    excused = overlap(around, boxes(excusing)).max(axis=1, initial=0.0)
    partner = np.full(len(found), -1)
    for k in np.argsort(-found.score, kind="stable"):
        best = int(np.argmax(shared[k])) if len(wanted) else -1
        if best >= 0 and shared[k, best] >= least_overlap:
            partner[k] = best
            shared[:, best] = 0.0
    right = partner >= 0
    in_range = (own >= sizes_px[0]) & (own <= sizes_px[1])
    counted = right | (in_range & (excused < LEAST_EXCUSING_OVERLAP))
    covariance = found.covariance
    if covariance is None:
        covariance = np.full((len(found), 5, 5), np.nan)
    return Matches(
        found.score[counted],
        right[counted],
        wanted[partner[right]],
        found.values[right],
        covariance[right],
        len(wanted),
    )


def precision_recall(matches: Matches) -> tuple[Array, Array, Array]:
    """Score, precision and recall (N,) with every find of at least that score, score falling."""
    order = np.argsort(-matches.score, kind="stable")
    right = np.cumsum(matches.right[order])
    score = matches.score[order]
    # Equal scores are taken together or not at all.
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    precision = right / np.arange(1, len(order) + 1)
    return score[last], precision[last], (right / max(matches.labels, 1))[last]


def at_score(matches: Matches, least_score: float) -> tuple[float, float]:
    """Precision and recall of the finds of at least a score; precision 1 where there are none."""
    taken = matches.score >= least_score
    right = int((matches.right & taken).sum())
    count = int(taken.sum())
    return (right / count if count else 1.0), right / max(matches.labels, 1)


def f1(precision: Array | float, recall: Array | float) -> Array:
    """Harmonic mean of precision and recall, 0 where both are."""
    both = np.asarray(precision, dtype=np.float64) + np.asarray(recall, dtype=np.float64)
    product = 2.0 * np.asarray(precision) * np.asarray(recall)
    return np.asarray(np.where(both > 0.0, product / np.where(both > 0.0, both, 1.0), 0.0))


def gaussian_angles(one: Array, other: Array) -> Array:
    """Gaussian angles (N, M), radians in [0, pi/2], of ellipses (N, 5) and (M, 5).

    The ellipses count as Gaussians of their own shape; the angle is between these as functions.
    Christian, Derksen, Watkins (2021), Lunar crater identification in digital images, J.
    Astronaut. Sci. 68, section 6: d = arccos(4 sqrt(|Yi| |Yj|) / |Yi + Yj| exp(-phi / 2)), with
    phi = (yi - yj)^T Yi (Yi + Yj)^-1 Yj (yi - yj).
    """
    first = Ellipses(one, np.ones(len(one))).conics()[:, None, :2, :2]
    second = Ellipses(other, np.ones(len(other))).conics()[None, :, :2, :2]
    total = first + second
    apart = (one[:, None, :2] - other[None, :, :2])[..., None]
    root = np.sqrt(np.linalg.det(first) * np.linalg.det(second))
    # Yi (Yi + Yj)^-1 Yj is symmetric: the inverse of Yi^-1 + Yj^-1.
    phi = np.swapaxes(apart, -1, -2) @ first @ np.linalg.solve(total, second @ apart)
    cosine = 4.0 * root / np.linalg.det(total) * np.exp(-0.5 * phi[..., 0, 0])
    return np.asarray(np.arccos(np.clip(cosine, 0.0, 1.0)))


def challenge_score(found: Ellipses, truth: Array) -> float:
    """Score of one image, in [0, 1], by NASA's crater detection challenge; the mean is over images.

    Each label in turn takes the find left with the smallest Gaussian angle d, among those whose
    semi-minor axis is within a factor 1.5 and whose centre is within the smaller one along x and
    y. It is right where d^2 / s^2 < CHI_SQUARE_GATE, s = 0.85 * 0.07 * b / sqrt(a b) of the label.
    The sum of 1 - d / pi over the right ones is divided by the number of finds, and multiplied by
    the share of right ones among the labels, ten being enough. Nothing found where nothing is: 1.

    From the challenge's offline scorer (scorer.py, given to its competitors; Topcoder 2025-26).
    """
    if len(found) == 0 or len(truth) == 0:
        return float(len(found) == len(truth))
    angle = gaussian_angles(truth, found.values)
    minor, own = truth[:, 3][:, None], found.values[:, 3][None]
    smaller = np.minimum(minor, own)
    near = (minor <= 1.5 * own) & (own <= 1.5 * minor)
    for axis in (0, 1):
        near &= np.abs(truth[:, axis][:, None] - found.values[:, axis]) <= smaller
    angle[~near] = math.inf
    sigma = _GAUSSIAN_SIGMA * RIM_ERROR_SHARE * np.sqrt(truth[:, 3] / truth[:, 2])
    qualities = []
    for k in range(len(truth)):
        best = int(np.argmin(angle[k]))
        if angle[k, best] ** 2 < CHI_SQUARE_GATE * sigma[k] ** 2:
            qualities.append(1.0 - angle[k, best] / math.pi)
            angle[:, best] = math.inf
    share = min(1.0, len(qualities) / min(ENOUGH_MATCHES, len(truth)))
    return float(sum(qualities) / len(found) * share)
