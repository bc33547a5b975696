"""The star tracker's errors are small turns of the stated size about the right axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trn.errors import InputError
from trn.simulate.star_tracker import TYPICAL, StarTracker


def errors(tracker: StarTracker, seed: int = 0, count: int = 2000) -> np.ndarray:
    """Rotation vectors from truth to report, vehicle axes."""
    truth = Rotation.random(count, rng=np.random.default_rng(seed + 100))
    reported = Rotation.from_quat(tracker.measured(truth.as_quat(), seed))
    return (reported * truth.inv()).as_rotvec()


def test_noise_is_larger_about_the_boresight() -> None:
    spread = errors(StarTracker(across_rad=2e-5, roll_rad=2e-4)).std(axis=0)
    assert spread == pytest.approx([2e-4, 2e-5, 2e-5], rel=0.06)


def test_mounting_is_one_constant_turn_a_unit() -> None:
    tracker = StarTracker(0.0, 0.0, mounting_rad=1e-3)
    assert np.ptp(errors(tracker, count=50), axis=0).max() < 1e-12
    units = np.array([errors(tracker, seed, count=1)[0] for seed in range(300)])
    assert units.std() == pytest.approx(1e-3, rel=0.1)


def test_the_stated_sigma_covers_each_axis() -> None:
    turns = np.array([errors(TYPICAL, seed, count=1)[0] for seed in range(300)])
    assert (turns.std(axis=0) <= 1.1 * TYPICAL.sigma_rad).all()


def test_the_same_seed_reports_the_same_with_a_scalar_part_not_negative() -> None:
    truth = Rotation.random(20, rng=np.random.default_rng(1)).as_quat()
    first = TYPICAL.measured(truth, 4)
    assert np.array_equal(first, TYPICAL.measured(truth, 4))
    assert (first[:, 3] >= 0).all()
    assert np.linalg.norm(first, axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("field", ["across_rad", "roll_rad", "mounting_rad"])
def test_impossible_errors_are_refused_by_name(field: str) -> None:
    with pytest.raises(InputError, match=field):
        StarTracker(**{"across_rad": 0.0, "roll_rad": 0.0, field: float("nan")})
