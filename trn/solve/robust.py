"""A pose from matches of which some are wrong."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.solve.evidence import Evidence, gather_evidence
from trn.solve.pose import Matches, PoseEstimate, solve_pose, whitened_residuals

CAUCHY_SIGMAS = 2.5
GATE = 11.8
"""Squared Mahalanobis distance of two degrees of freedom that 0.27 % of right matches exceed."""
MEDIAN = 2.0 * math.log(2.0)
"""Of the square of two degrees of freedom."""
LEAST_AGREEING = 8
LEAST_UNIT_VARIANCE = 0.05
OVERLAP = 2.4
"""How much less neighbouring templates tell than if they shared no pixels and no map noise; set so
that NEES is 1 on rendered scenes 0 to 11 a map."""

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
    solution = solve_pose(camera, believed, matches, start)
    square = whitened_residuals(camera, solution.pose, matches)
    agrees = square < GATE * max(1.0, float(np.median(square)) / MEDIAN)
    unit = 1.0
    for _ in range(3):
        kept = matches.chosen(agrees)
        if len(kept) < LEAST_AGREEING:
            break
        scaled = Matches(
            kept.points_m, kept.pixels_px, OVERLAP * unit * kept.covariance_px2, kept.score
        )
        solution = solve_pose(camera, believed, scaled, start, robust_scale=CAUCHY_SIGMAS)
        start = solution.pose
        square = whitened_residuals(camera, solution.pose, matches)
        unit = _unit_variance(square[agrees])
        agrees = square < GATE * unit
    return solution, agrees


def landmark_evidence(
    camera: Camera, believed: PoseEstimate, matches: Matches, pose: Pose, ground_sigma_m: float
) -> Evidence:
    """What matches that agree say about the pose that `solve_robustly` found from them."""
    unit = OVERLAP * _unit_variance(whitened_residuals(camera, pose, matches))
    return _evidence(camera, believed, matches, pose, ground_sigma_m, unit)


def crater_evidence(
    camera: Camera, believed: PoseEstimate, matches: Matches, pose: Pose, ground_sigma_m: float
) -> Evidence:
    """What the centres of identified craters say about a pose near theirs.

    Where they scatter by more than their covariances, that counts.
    """
    unit = CRATER_INFLATION * max(1.0, _unit_variance(whitened_residuals(camera, pose, matches)))
    return _evidence(camera, believed, matches, pose, ground_sigma_m, unit)


def _evidence(
    camera: Camera,
    believed: PoseEstimate,
    matches: Matches,
    pose: Pose,
    ground_sigma_m: float,
    unit: float,
) -> Evidence:
    """Evidence of matches, Cauchy weights, covariances scaled by the variance of unit weight."""
    square = whitened_residuals(camera, pose, matches)
    weight = matches.weight / (unit + square / CAUCHY_SIGMAS**2)[:, None, None]
    residual = matches.pixels_px - camera.project(pose.to_camera(matches.points_m))
    pull = (weight @ residual[:, :, None])[:, :, 0]
    return gather_evidence(camera, believed, pose, matches.points_m, weight, pull, ground_sigma_m)


def _unit_variance(square: NDArray[np.float64]) -> float:
    """Variance of unit weight from squared Mahalanobis distances of two degrees of freedom."""
    return max(LEAST_UNIT_VARIANCE, float(np.median(square)) / MEDIAN)
