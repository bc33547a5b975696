"""Matches and prior to pose, covariance, protection level, or a refusal."""

from trn.solve.consensus import chance_of_consensus, find_consensus
from trn.solve.evidence import Evidence, gather_evidence
from trn.solve.pose import (
    Matches,
    PoseEstimate,
    jacobian,
    solve_pose,
    whitened_residuals,
)

__all__ = [
    "Evidence",
    "Matches",
    "PoseEstimate",
    "chance_of_consensus",
    "find_consensus",
    "gather_evidence",
    "jacobian",
    "solve_pose",
    "whitened_residuals",
]
