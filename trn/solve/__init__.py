"""Matches and prior to pose, covariance, protection level, or a refusal."""

from trn.solve.consensus import chance_of_consensus, find_consensus
from trn.solve.pose import (
    Matches,
    PoseEstimate,
    aligned_pose,
    jacobian,
    solve_pose,
    whitened_residuals,
)

__all__ = [
    "Matches",
    "PoseEstimate",
    "aligned_pose",
    "chance_of_consensus",
    "find_consensus",
    "jacobian",
    "solve_pose",
    "whitened_residuals",
]
