"""What each part of a view says about the pose, so that it can be solved without any of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.moon.quaternions import rotation_of
from trn.solve.descent import normal_equations, pull_of_prior
from trn.solve.linear import inverse, times
from trn.solve.pose import Array, PoseEstimate
from trn.solve.projection import project
from trn.solve.shifts import shifted_covariances

PARTS_A_SIDE = 4
"""The view falls into this many parts squared, as a chess board does."""
BORDER_PX = 1e-6
"""What lies so near before the border of two parts is the later one's: not for rounding to say."""


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
        found = _solutions(
            self.start.position(),
            self.prior_information,
            self.prior_pull,
            self.information,
            self.pull,
            kept.astype(np.float64),
            self.ground_sigma_m,
            self.light_shift_m,
        )
        return Solutions(*found)


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
    gathered = _gathered(
        start.quaternion(),
        start.position(),
        *prior.arrays(),
        points_m,
        information,
        pull,
        camera.lens,
        camera.width / PARTS_A_SIDE,
        camera.height / PARTS_A_SIDE,
    )
    return Evidence(start, *gathered, ground_sigma_m)


@njit(cache=True, nogil=True, error_model="numpy")
def _solutions(
    position: Array,
    prior_information: Array,
    prior_pull: Array,
    information: Array,
    pull: Array,
    share: Array,
    ground_sigma_m: float,
    light_shift_m: Array,
) -> tuple[Array, Array, Array]:
    """Corrections (H, 6), with covariances (H, 6, 6) and those of differences from the first.

    share: (H, K), how much of each part each solution rests on; the rest as in Evidence.
    """
    solutions, parts = share.shape
    correction, noise = np.empty((solutions, 6)), np.empty((solutions, 6, 6))
    for h in range(solutions):
        total, right = prior_information.copy(), prior_pull.copy()
        for k in range(parts):
            for i in range(6):
                right[i] += share[h, k] * pull[k, i]
                for j in range(6):
                    total[i, j] += share[h, k] * information[k, i, j]
        noise[h] = inverse(total)
        correction[h] = times(noise[h], right)
    away = math.sqrt(position[0] ** 2 + position[1] ** 2 + position[2] ** 2)
    covariance, apart = shifted_covariances(
        noise, share, information, position / away, ground_sigma_m, light_shift_m
    )
    return correction, covariance, apart


@njit(cache=True, nogil=True, error_model="numpy")
def _gathered(
    quaternion: Array,
    position: Array,
    prior_quaternion: Array,
    prior_position: Array,
    prior_covariance: Array,
    points: Array,
    information: Array,
    pull: Array,
    lens: Array,
    part_width: float,
    part_height: float,
) -> tuple[Array, Array, Array, Array]:
    """The prior's information (6, 6) and pull (6,), and those of the parts, (K, 6, 6) and (K, 6).

    Points that are not seen, or of which anything is not finite, count nothing.
    """
    rotation, count, parts = rotation_of(quaternion), points.shape[0], PARTS_A_SIDE**2
    seen = project(quaternion, position, points, lens)
    # Brought together part by part; those that do not count stand last.
    part, end = np.empty(count, dtype=np.int64), np.zeros(parts + 2, dtype=np.int64)
    for n in range(count):
        total = seen[n, 0] + seen[n, 1] + pull[n, 0] + pull[n, 1]
        total += information[n, 0, 0] + information[n, 0, 1] + information[n, 1, 1]
        part[n] = parts
        if math.isfinite(total):
            column = math.floor((seen[n, 0] + 0.5 + BORDER_PX) / part_width)
            row = math.floor((seen[n, 1] + 0.5 + BORDER_PX) / part_height)
            column = min(max(column, 0), PARTS_A_SIDE - 1)
            part[n] = PARTS_A_SIDE * min(max(row, 0), PARTS_A_SIDE - 1) + column
        end[part[n] + 1] += 1
    for k in range(parts + 1):
        end[k + 1] += end[k]
    at = end.copy()
    place, pixels = np.empty((3, count)), np.empty((2, count))
    weight, pulls = np.empty((3, count)), np.empty((2, count))
    for n in range(count):
        m = at[part[n]]
        at[part[n]] += 1
        for i in range(3):
            place[i, m] = points[n, i]
        for i in range(2):
            pixels[i, m], pulls[i, m] = seen[n, i], pull[n, i]
            weight[2 * i, m] = information[n, i, i]
        weight[1, m] = information[n, 0, 1]
    told, pulled = np.zeros((parts, 6, 6)), np.zeros((parts, 6))
    for k in range(parts):
        # They are where they are seen: nothing but their pulls pulls.
        normal_equations(
            rotation, position, place, pixels, weight, pulls, lens, math.inf,
            end[k : k + 2], told[k], pulled[k],
        )  # fmt: skip
    prior_information = inverse(prior_covariance)
    prior_pull = pull_of_prior(
        quaternion, position, prior_quaternion, prior_position, prior_information
    )
    return prior_information, prior_pull, told, pulled
