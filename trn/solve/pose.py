"""Position and attitude from landmark matches and a prior: Gauss-Newton on the tangent space.

The correction is x = (translation in MOON_ME, rotation about camera axes), as in Pose.moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.moon.pose import Pose

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
        return np.asarray(np.linalg.inv(self.covariance_px2), dtype=np.float64)

    def chosen(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches where keep, bool (N,), is True."""
        return Matches(
            self.points_m[keep], self.pixels_px[keep], self.covariance_px2[keep], self.score[keep]
        )

    def widened(self, floor_px: float) -> Matches:
        """The matches with a floor added to each covariance."""
        return Matches(
            self.points_m,
            self.pixels_px,
            self.covariance_px2 + floor_px**2 * np.eye(2),
            self.score,
        )


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A pose with the covariance of its correction, (6, 6): metres MOON_ME, radians camera axes."""

    pose: Pose
    covariance: Array


def jacobian(camera: Camera, pose: Pose, points_m: Array) -> Array:
    """d pixel / d correction at body-fixed points, shape (N, 2, 6)."""
    rotation = pose.rotation_body_to_camera()
    seen = pose.to_camera(points_m)
    pixel_by_point = camera.project_jacobian(seen)
    x, y, z = seen[:, 0], seen[:, 1], seen[:, 2]
    zero = np.zeros_like(x)
    # exp(theta) p = p + theta x p = p - [p]x theta
    turn = -np.stack(
        [
            np.stack([zero, -z, y], axis=-1),
            np.stack([z, zero, -x], axis=-1),
            np.stack([-y, x, zero], axis=-1),
        ],
        axis=-2,
    )
    return np.concatenate([-pixel_by_point @ rotation, pixel_by_point @ turn], axis=-1)


def correction_between(start: Pose, end: Pose) -> Array:
    """The correction x, shape (6,), with start.moved(x[:3], x[3:]) == end."""
    turn = Rotation.from_quat(end.quaternion_xyzw) * Rotation.from_quat(start.quaternion_xyzw).inv()
    return np.concatenate([end.position_m - start.position_m, turn.as_rotvec()])


def whitened_residuals(camera: Camera, pose: Pose, matches: Matches) -> Array:
    """Squared Mahalanobis distance of each match at a pose, shape (N,); inf behind the camera."""
    residual = matches.pixels_px - camera.project(pose.to_camera(matches.points_m))
    square = _mahalanobis(residual, matches.weight)
    return np.where(np.isfinite(square), square, np.inf)


def _mahalanobis(residual: Array, weight: Array) -> Array:
    """Squared Mahalanobis distances, (N,), of residuals (N, 2) under weights (N, 2, 2)."""
    return np.asarray((residual[:, None, :] @ weight @ residual[:, :, None])[:, 0, 0])


def solve_pose(
    camera: Camera,
    prior: PoseEstimate,
    matches: Matches,
    start: Pose,
    *,
    robust_scale: float | None = 2.5,
    iterations: int = 12,
) -> PoseEstimate:
    """Maximum a-posteriori pose from matches and a prior.

    robust_scale: Cauchy scale in sigmas for the matches (None: plain least squares).
    The covariance is the inverse of the information matrix at the solution.
    """
    prior_information = np.linalg.inv(prior.covariance)
    weight = matches.weight
    pose = start
    information = prior_information
    for _ in range(iterations):
        design = jacobian(camera, pose, matches.points_m)
        residual = matches.pixels_px - camera.project(pose.to_camera(matches.points_m))
        usable = np.asarray(np.isfinite(residual.sum(axis=1) + design.sum(axis=(1, 2))))
        residual = np.where(usable[:, None], residual, 0.0)
        design = np.where(usable[:, None, None], design, 0.0)
        scaled = weight
        if robust_scale is not None:
            square = _mahalanobis(residual, weight)
            scaled = weight / (1.0 + square / robust_scale**2)[:, None, None]
        pull = correction_between(pose, prior.pose)
        weighted = (scaled @ design).reshape(-1, 6)
        information = prior_information + design.reshape(-1, 6).T @ weighted
        right = prior_information @ pull + weighted.T @ residual.reshape(-1)
        step = np.linalg.solve(information, right)
        pose = pose.moved(step[:3], step[3:])
        if np.sqrt(step @ information @ step) < 1e-4:
            break
    return PoseEstimate(pose, np.linalg.inv(information))
