"""Wrong matches do not lead the pose, and the covariance takes its scale from the others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_solve_pose import CAMERA, scene
from trn.solve.pose import Matches, correction_between
from trn.solve.robust import solve_robustly


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_wrong_matches_is_left_out(seed: int) -> None:
    truth, prior, matches, wrong = scene(seed, count=200, wrong_share=0.2)
    solution, agrees = solve_robustly(CAMERA, prior, matches, truth)
    assert agrees[~wrong].mean() > 0.95
    assert agrees[wrong].mean() < 0.05
    error = correction_between(solution.pose, truth)
    assert error @ np.linalg.solve(solution.covariance, error) < 22.5  # 99.9 %, six unknowns


def test_covariances_claimed_too_small_are_scaled_to_the_scatter() -> None:
    truth, prior, matches, _ = scene(7, count=400)
    boastful = Matches(
        matches.points_m, matches.pixels_px, matches.covariance_px2 / 9.0, matches.score
    )
    honest, _ = solve_robustly(CAMERA, prior, matches, truth)
    scaled, agrees = solve_robustly(CAMERA, prior, boastful, truth)
    assert agrees.mean() > 0.9
    ratio = np.trace(scaled.covariance[:3, :3]) / np.trace(honest.covariance[:3, :3])
    assert ratio == pytest.approx(1.0, abs=0.3)


def test_without_matches_what_was_believed_stays() -> None:
    truth, prior, matches, _ = scene(3, count=10)
    none = matches.chosen(np.zeros(10, dtype=bool))
    solution, agrees = solve_robustly(CAMERA, prior, none, truth)
    assert solution is prior
    assert agrees.size == 0
