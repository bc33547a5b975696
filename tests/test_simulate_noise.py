"""Noise belongs to its place and seed: whoever asks, in whatever order, near or far."""

from __future__ import annotations

import numpy as np
import pytest

from trn.moon.frames import position_from_geographic
from trn.simulate.noise import noise_at, seed_word

WORD = seed_word(5, 1)


def ground(rows: int, columns: int, step_deg: float, latitude_deg: float = 40.0) -> np.ndarray:
    latitude = np.radians(latitude_deg + step_deg * np.arange(rows))[:, None]
    longitude = np.radians(-180.0 + step_deg * (np.arange(columns) - columns // 2))
    return position_from_geographic(latitude, longitude, 0.0)


def test_a_place_has_its_value_whoever_asks() -> None:
    points = ground(40, 50, 0.01)
    whole = noise_at(points, 900.0, WORD)
    order = np.random.default_rng(0).permutation(2000)
    shuffled = noise_at(points.reshape(-1, 3)[order], 900.0, WORD)
    assert np.array_equal(whole.ravel()[order], shuffled)
    assert whole.shape == (40, 50)


def test_mean_and_variance_are_zero_and_one() -> None:
    points = np.random.default_rng(1).uniform(-1e6, 1e6, (100_000, 3))
    values = noise_at(points, 700.0, WORD)
    assert values.mean() == pytest.approx(0.0, abs=0.02)
    assert values.std() == pytest.approx(1.0, abs=0.03)


def test_there_is_no_seam_at_the_date_line_or_the_pole() -> None:
    for latitude_deg in (40.0, 89.9):
        values = noise_at(ground(20, 400, 0.001, latitude_deg), 2000.0, WORD)
        # Neighbours 30 m apart or less, on a lattice of 2 km.
        assert np.abs(np.diff(values, axis=1)).max() < 0.2


def test_seeds_and_purposes_are_unrelated() -> None:
    points = np.random.default_rng(2).uniform(-1e6, 1e6, (20_000, 3))
    first = noise_at(points, 700.0, WORD)
    for other in (seed_word(6, 1), seed_word(5, 2)):
        assert abs(np.corrcoef(first, noise_at(points, 700.0, other))[0, 1]) < 0.03
    assert seed_word(5, 1) == WORD
