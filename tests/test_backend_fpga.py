"""A backend that correlates as the FPGA does says what the CPU says, but for rounding to levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trn.backend import select_backend
from trn.backend.cpu import CpuBackend
from trn.backend.fpga import FpgaBackend
from trn.backend.protocol import Searches


def texture(seed: int, side: int = 160) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def windows_around(count: int, size: int, reach: int, side: int = 160) -> Searches:
    rng = np.random.default_rng(8)
    x, y = (rng.integers(reach, side - size - reach, count).astype(np.int32) for _ in range(2))
    tried = np.full(count, 2 * reach + 1, dtype=np.int32)
    return Searches(size, x, y, x - reach, y - reach, tried, tried)


@pytest.mark.parametrize(("size", "reach"), [(21, 6), (32, 10), (41, 16)])
def test_peaks_are_the_cpus_to_a_fiftieth_of_a_pixel(size: int, reach: int) -> None:
    image = texture(1)
    predicted = (image + 0.4 * texture(2)).astype(np.float32)
    predicted[60:63, :] = np.nan
    searches = windows_around(40, size, reach)
    ours, theirs = (
        backend.correlate(image, predicted, searches)
        for backend in (select_backend("fpga-model"), CpuBackend())
    )
    assert (ours.inside == theirs.inside).all() and ours.inside.any()
    assert np.abs(ours.x - theirs.x).max() < 0.02
    assert np.abs(ours.y - theirs.y).max() < 0.02
    assert np.abs(ours.score - theirs.score).max() < 2e-3
    # Below zero a second peak counts as zero.
    assert np.abs(ours.second_score - np.maximum(theirs.second_score, 0.0)).max() < 2e-3
    assert ours.curvature == pytest.approx(theirs.curvature, abs=2e-3)


def test_a_peak_on_the_border_has_a_score_and_no_fit() -> None:
    image = texture(3)
    one = np.array([50], dtype=np.int32)
    searches = Searches(21, one, one, one, one + 3 - 8, np.array([6]), np.array([9]))
    ours = FpgaBackend().correlate(image, image, searches)
    assert (ours.x[0], ours.y[0]) == (50, 50)
    assert ours.score[0] == pytest.approx(1.0, abs=1e-4)
    assert not ours.inside[0] and not ours.curvature[0].any()


def test_flat_ground_and_negatives_score_zero() -> None:
    flat = np.full((160, 160), 0.3, np.float32)
    searches = windows_around(3, 21, 4)
    found = FpgaBackend().correlate(flat, texture(4), searches)
    assert not found.score.any() and not found.inside.any()
    assert (found.x == searches.window_x).all()


def test_templates_beyond_the_cores_size_are_turned_away() -> None:
    with pytest.raises(ValueError, match="takes up to 45"):
        FpgaBackend().correlate(texture(5), texture(5), windows_around(1, 47, 4))
