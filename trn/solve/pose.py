"""Position and attitude from landmark matches and a prior: Gauss-Newton on the tangent space.

The correction is x = (translation in MOON_ME, rotation about camera axes), as in Pose.moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.moon.quaternions import turn_between_quaternions
from trn.solve.descent import CAUCHY_SIGMAS, distances, most_likely
from trn.solve.projection import project, project_with_slopes

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Terrain points and where the image shows them.

    points_m: (N, 3), body-fixed. pixels_px: (N, 2), measured, in the camera's pixels.
    covariance_px2: (N, 2, 2), of the measurement. score: (N,), zero-mean NCC.
    """

    points_m: Array
    pixels_px: Array
    covariance_px2: Array
    score: Array

    def __len__(self) -> int:
        return int(self.points_m.shape[0])

    @property
    def weight(self) -> Array:
        """Inverse covariances, (N, 2, 2)."""
        return _inverse_of_pairs(self.covariance_px2)

    def arrays(self) -> tuple[Array, Array, Array]:
        """Points, pixels and covariances, as compiled code takes them."""
        return self.points_m, self.pixels_px, self.covariance_px2

    def chosen(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches where keep, bool (N,), is True."""
        rows = np.flatnonzero(keep)
        return Matches(
            self.points_m.take(rows, axis=0),
            self.pixels_px.take(rows, axis=0),
            self.covariance_px2.take(rows, axis=0),
            self.score.take(rows),
        )

    def widened(self, floor_px: float) -> Matches:
        """The matches with a floor added to each covariance."""
        covariance = self.covariance_px2.copy()
        covariance[:, 0, 0] += floor_px**2
        covariance[:, 1, 1] += floor_px**2
        return Matches(self.points_m, self.pixels_px, covariance, self.score)


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A pose with the covariance of its correction, (6, 6): metres MOON_ME, radians camera axes."""

    pose: Pose
    covariance: Array

    def arrays(self) -> tuple[Array, Array, Array]:
        """Quaternion, position and covariance, as compiled code takes them."""
        return self.pose.quaternion(), self.pose.position(), self.covariance


def jacobian(camera: Camera, pose: Pose, points_m: Array) -> Array:
    """d pixel / d correction at body-fixed points, shape (N, 2, 6)."""
    points = np.asarray(points_m, dtype=np.float64)
    _, slopes = project_with_slopes(pose.quaternion(), pose.position(), points, camera.lens)
    return slopes


def correction_between(start: Pose, end: Pose) -> Array:
    """The correction x, shape (6,), with start.moved(x[:3], x[3:]) == end."""
    turn = turn_between_quaternions(start.quaternion(), end.quaternion())
    return np.concatenate([end.position_m - start.position_m, turn])


def residuals(camera: Camera, pose: Pose, matches: Matches) -> Array:
    """Measured minus projected pixels at a pose, shape (N, 2); NaN where the camera gives none."""
    seen = project(pose.quaternion(), pose.position(), matches.points_m, camera.lens)
    return np.asarray(matches.pixels_px - seen)


def whitened_residuals(camera: Camera, pose: Pose, matches: Matches) -> Array:
    """Squared Mahalanobis distance of each match at a pose, shape (N,); inf behind the camera."""
    square: Array = distances(pose.quaternion(), pose.position(), *matches.arrays(), camera.lens)
    return square


def solve_pose(
    camera: Camera,
    prior: PoseEstimate,
    matches: Matches,
    start: Pose,
    *,
    robust_scale: float | None = CAUCHY_SIGMAS,
) -> PoseEstimate:
    """Maximum a-posteriori pose from matches and a prior.

    robust_scale: Cauchy scale in sigmas for the matches (None: plain least squares).
    The covariance is the inverse of the information matrix at the solution.
    """
    quaternion, position, covariance = most_likely(
        start.quaternion(),
        start.position(),
        *prior.arrays(),
        *matches.arrays(),
        camera.lens,
        math.inf if robust_scale is None else robust_scale**2,
    )
    return PoseEstimate(Pose(position, quaternion), covariance)


def _inverse_of_pairs(matrices: Array) -> Array:
    """Inverses of matrices (N, 2, 2), many times faster than by LAPACK."""
    inverse = np.empty(matrices.shape)
    inverse[:, 0, 0], inverse[:, 1, 1] = matrices[:, 1, 1], matrices[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -matrices[:, 0, 1], -matrices[:, 1, 0]
    determinant = inverse[:, 0, 0] * inverse[:, 1, 1] - inverse[:, 0, 1] * inverse[:, 1, 0]
    inverse /= determinant[:, None, None]
    return inverse
