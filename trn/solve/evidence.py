"""What each part of a view says about the pose, so that it can be solved without any of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.solve.pose import Array, PoseEstimate, correction_between, seen_with_slopes
from trn.solve.projection import counts
from trn.solve.shifts import shifted_covariances

PARTS_A_SIDE = 4
"""The view falls into this many parts squared, as a chess board does."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Normal equations of the correction x at one pose, a set each part of the view.

    start: where the correction begins. prior_information: (6, 6); prior_pull: (6,), information
    times the correction that leads to the prior. information: (K, 6, 6), pull: (K, 6), the same of
    the parts. Metres MOON_ME and radians about camera axes, as in Pose.moved. ground_sigma_m: how
    far, an axis, what is seen of the ground may lie beside the map, in each part on its own.
    channels: sources of evidence (landmarks, craters), each with parts of its own, one after the
    other. light_shift_m: (3,), how far, 1 sigma, light and shade shift all of the ground alike.
    aligned: whether it is of the whole view, so that how well parts agree tells how far it errs.
    """

    start: Pose
    prior_information: Array
    prior_pull: Array
    information: Array
    pull: Array
    ground_sigma_m: float = 0.0
    channels: int = 1
    light_shift_m: Array = field(default_factory=lambda: np.zeros(3))
    aligned: bool = False

    def joined(self, other: Evidence) -> Evidence:
        """This and another channel's evidence on the same correction.

        Raises ValueError for evidence that starts elsewhere.
        """
        same = (self.start.position_m == other.start.position_m).all() and (
            self.start.quaternion_xyzw == other.start.quaternion_xyzw
        ).all()
        if not same:
            raise ValueError("evidence of two poses cannot be joined")
        return replace(
            self,
            information=np.concatenate([self.information, other.information]),
            pull=np.concatenate([self.pull, other.pull]),
            channels=self.channels + other.channels,
        )

    def solution(self) -> PoseEstimate:
        """The pose that prior and all parts together support: one Gauss-Newton step from start."""
        found = self.solved(np.ones((1, len(self.pull)), dtype=bool))
        step = found.correction[0]
        return PoseEstimate(self.start.moved(step[:3], step[3:]), found.covariance[0])

    def solved(self, kept: NDArray[np.bool_]) -> Solutions:
        """The corrections that subsets of the parts support.

        kept: bool (H, K), the parts that each subset holds; the prior is in all of them. The first
        has to hold all that the others do.
        """
        share = kept.astype(np.float64)
        total = np.tensordot(share, self.information, axes=1)
        total += self.prior_information
        noise = np.asarray(np.linalg.inv(total), dtype=np.float64)
        right = self.prior_pull + share @ self.pull
        correction = (noise @ right[:, :, None])[:, :, 0]
        up = self.start.position_m / np.linalg.norm(self.start.position_m)
        covariance, apart = shifted_covariances(
            noise, share, self.information, up, self.ground_sigma_m, self.light_shift_m
        )
        return Solutions(correction, covariance, apart)


@dataclass(frozen=True, eq=False)
class Solutions:
    """Corrections from subsets of the evidence, (H, 6), with their covariances, (H, 6, 6).

    apart: (H, 6, 6), covariance of each one's difference from the first.
    """

    correction: Array
    covariance: Array
    apart: Array


def gather_evidence(
    camera: Camera,
    prior: PoseEstimate,
    start: Pose,
    points_m: Array,
    information: Array,
    pull: Array,
    ground_sigma_m: float = 0.0,
) -> Evidence:
    """Evidence from normal equations of displacement, as align_view or matches give them.

    points_m: (N, 3), body-fixed, what is displaced, seen from start. information: (N, 2, 2),
    inverse squared pixels. pull: (N, 2), inverse pixels: information times displacement.
    ground_sigma_m: see Evidence.
    """
    seen, slopes = seen_with_slopes(camera, start, points_m)
    side = np.array([camera.width, camera.height]) / PARTS_A_SIDE
    parts_information, parts_pull = _summed(seen, slopes, information, pull, side)
    prior_information: Array = np.asarray(np.linalg.inv(prior.covariance), dtype=np.float64)
    return Evidence(
        start,
        prior_information,
        prior_information @ correction_between(start, prior.pose),
        parts_information,
        parts_pull,
        ground_sigma_m,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _summed(
    seen: Array, slopes: Array, information: Array, pull: Array, side: Array
) -> tuple[Array, Array]:
    """Normal equations (K, 6, 6) and (K, 6) of the parts, `side` (2,) pixels wide and high.

    Points that are not seen, or whose slopes are not finite, count nothing.
    """
    told = np.zeros((PARTS_A_SIDE**2, 6, 6))
    pulled = np.zeros((PARTS_A_SIDE**2, 6))
    place = np.empty(2, dtype=np.int64)
    for n in range(seen.shape[0]):
        if not counts(seen, slopes, n):
            continue
        for axis in range(2):
            cell = math.floor((seen[n, axis] + 0.5) / side[axis])
            place[axis] = min(max(cell, 0), PARTS_A_SIDE - 1)
        part = PARTS_A_SIDE * place[1] + place[0]
        a, b = information[n, 0, 0], information[n, 0, 1]
        c, d = information[n, 1, 0], information[n, 1, 1]
        for i in range(6):
            x, y = slopes[n, 0, i], slopes[n, 1, i]
            pulled[part, i] += x * pull[n, 0] + y * pull[n, 1]
            first, second = x * a + y * c, x * b + y * d
            for j in range(6):
                told[part, i, j] += first * slopes[n, 0, j] + second * slopes[n, 1, j]
    return told, pulled
