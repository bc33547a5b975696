"""A run is judged against where the lander truly was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trn.replay.judge import true_positions_m

START_NS = 1_000_000_000


def flown() -> Any:
    """A curved path, x = t^3, y = t^2, z = 5, with a sample each half second."""
    t = np.arange(9) * 0.5
    truth = SimpleNamespace(
        time_ns=START_NS + (t * 1e9).astype(np.int64),
        position_m=np.stack([t**3, t**2, np.full(9, 5.0)], axis=1),
        velocity_m_per_s=np.stack([3.0 * t**2, 2.0 * t, np.zeros(9)], axis=1),
    )
    return SimpleNamespace(truth=truth, start_ns=START_NS)


@pytest.mark.parametrize("times", [1, 2, 9, 40])
def test_the_truth_between_samples_is_a_cubic_of_each_time(times: int) -> None:
    t = np.linspace(0.1, 3.9, times)
    found = true_positions_m(flown(), t)
    assert found == pytest.approx(np.stack([t**3, t**2, np.full(times, 5.0)], axis=1))


def test_outside_the_truth_nothing_is_known() -> None:
    found = true_positions_m(flown(), np.array([-0.1, 1.0, 4.1]))
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True]
