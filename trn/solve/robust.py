"""A pose from matches of which some are wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.solve.descent import (
    CAUCHY_SIGMAS,
    LEAST_UNIT_VARIANCE,
    OVERLAP,
    most_likely_of_some,
    unit_variance,
)
from trn.solve.evidence import Evidence, gather_evidence
from trn.solve.pose import Matches, PoseEstimate, residuals, whitened_residuals

CRATER_INFLATION = 1.5
"""How much less identified craters tell than their scatter says: rims are sought where the light
shows them, and those that fit are kept. Set so that NEES is about 1 (bench.fusion, frames 0 to 7 a
map)."""


def solve_robustly(
    camera: Camera, believed: PoseEstimate, matches: Matches, start: Pose
) -> tuple[PoseEstimate, NDArray[np.bool_]]:
    """Pose from matches of which some are wrong, and the matches that agree.

    The variance of unit weight scales the matches' covariances to the scatter they show; it is
    taken from the median, so that wrong matches do not inflate it. Without matches what was
    believed stays.
    """
    if len(matches) == 0:
        return believed, np.zeros(0, dtype=bool)
    quaternion, position, covariance, agrees = most_likely_of_some(
        start.quaternion(), start.position(), *believed.arrays(), *matches.arrays(), camera.lens
    )
    return PoseEstimate(Pose(position, quaternion), covariance), agrees


def landmark_evidence(
    camera: Camera, believed: PoseEstimate, matches: Matches, pose: Pose, ground_sigma_m: float
) -> Evidence:
    """What matches that agree say about the pose that `solve_robustly` found from them."""
    square = whitened_residuals(camera, pose, matches)
    unit = OVERLAP * unit_variance(square, LEAST_UNIT_VARIANCE)
    return _evidence(camera, believed, matches, pose, ground_sigma_m, square, unit)


def crater_evidence(
    camera: Camera, believed: PoseEstimate, matches: Matches, pose: Pose, ground_sigma_m: float
) -> Evidence:
    """What the centres of identified craters say about a pose near theirs.

    Where they scatter by more than their covariances, that counts.
    """
    square = whitened_residuals(camera, pose, matches)
    unit = CRATER_INFLATION * unit_variance(square, 1.0)
    return _evidence(camera, believed, matches, pose, ground_sigma_m, square, unit)


def _evidence(
    camera: Camera,
    believed: PoseEstimate,
    matches: Matches,
    pose: Pose,
    ground_sigma_m: float,
    square: NDArray[np.float64],
    unit: float,
) -> Evidence:
    """Evidence of matches, Cauchy weights, covariances scaled by the variance of unit weight.

    square: (N,), whitened_residuals of the matches.
    """
    weight = matches.weight / (unit + square / CAUCHY_SIGMAS**2)[:, None, None]
    pull = (weight @ residuals(camera, pose, matches)[:, :, None])[:, :, 0]
    return gather_evidence(camera, believed, pose, matches.points_m, weight, pull, ground_sigma_m)
