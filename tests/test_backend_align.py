"""The whole view against the image: displacement found, weighed, and honest about its noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trn.backend.cpu_align import align_view

SIDE = 224


def texture(seed: int, radius_px: float) -> NDArray[np.float64]:
    """Smooth random ground, unit variance, with a border to shift into."""
    values = np.random.default_rng(seed).normal(size=(SIDE + 32, SIDE + 32))
    smooth = cv2.GaussianBlur(values, (0, 0), radius_px)
    return np.asarray(smooth / smooth.std())


def shifted(values: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """The inner part of a texture moved by (x, y) pixels, exact for periodic textures."""
    rows, columns = np.meshgrid(*(np.fft.fftfreq(n) for n in values.shape), indexing="ij")
    phase = np.exp(-2j * np.pi * (columns * x + rows * y))
    moved = np.fft.ifft2(np.fft.fft2(values) * phase).real
    return np.asarray(moved[16:-16, 16:-16])


def pair(
    seed: int, x: float, y: float, noise: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An image and its prediction, moved by (x, y) against each other, noise in the image."""
    ground = texture(seed, 3.0)
    rng = np.random.default_rng(seed + 1000)
    image = 100.0 * (1.0 + 0.1 * shifted(ground, x, y) + noise * rng.normal(size=(SIDE, SIDE)))
    return image.astype(np.float32), (1.0 + 0.1 * shifted(ground, 0, 0)).astype(np.float32)


def displacement(
    image: NDArray[np.float32], predicted: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean displacement of a view and its covariance."""
    found = align_view(image, predicted)
    assert found is not None
    covariance = np.linalg.inv(found.information.sum(axis=0))
    return covariance @ found.pull.sum(axis=0), covariance


@pytest.mark.parametrize(("x", "y"), [(0.3, 0.0), (0.0, -0.4), (0.25, 0.25)])
def test_a_shift_of_a_fraction_of_a_pixel_is_found(x: float, y: float) -> None:
    found, _ = displacement(*pair(1, x, y, 0.02))
    assert found == pytest.approx([x, y], abs=0.02)


def test_exposure_does_not_matter() -> None:
    image, predicted = pair(2, 0.2, -0.1, 0.02)
    bright, _ = displacement(50.0 * image, predicted)
    dark, _ = displacement(image, predicted)
    assert bright == pytest.approx(dark, abs=1e-3)


def test_covariance_fits_the_scatter_over_noise() -> None:
    """NEES a degree of freedom over 60 seeds; its own standard deviation there is 0.09."""
    nees = []
    for seed in range(60):
        found, covariance = displacement(*pair(seed, 0.1, 0.2, 0.1))
        error = found - [0.1, 0.2]
        nees.append(error @ np.linalg.solve(covariance, error) / 2)
    assert 0.7 < np.mean(nees) < 1.4


def test_scales_without_counterpart_are_ignored() -> None:
    """Fine detail that only the prediction has does not make it surer of itself."""
    image, predicted = pair(5, 0.2, 0.1, 0.05)
    false_detail = np.random.default_rng(6).normal(size=predicted.shape).astype(np.float32)
    _, plain = displacement(image, predicted)
    _, with_detail = displacement(image, predicted + 0.05 * false_detail)
    assert np.trace(with_detail) > 0.9 * np.trace(plain)


def test_what_is_unknown_does_not_hold_the_view_in_place() -> None:
    image, predicted = pair(7, 0.4, 0.0, 0.02)
    holes = np.random.default_rng(8).random((14, 14)) < 0.2
    mask = np.kron(holes, np.ones((16, 16), dtype=bool))
    predicted[mask] = np.nan
    found, _ = displacement(image, predicted)
    assert found == pytest.approx([0.4, 0.0], abs=0.04)


def test_views_without_anything_in_common_carry_next_to_nothing() -> None:
    image, _ = pair(9, 0.0, 0.0, 0.02)
    _, predicted = pair(10, 0.0, 0.0, 0.02)
    related = align_view(*pair(9, 0.0, 0.0, 0.02))
    strange = align_view(image, predicted)
    assert related is not None
    if strange is not None:
        assert np.trace(strange.information.sum(axis=0)) < 0.02 * np.trace(
            related.information.sum(axis=0)
        )


@pytest.mark.parametrize("side", [8, 40])
def test_a_view_too_small_gives_none(side: int) -> None:
    image, predicted = pair(11, 0.0, 0.0, 0.02)
    assert align_view(image[:side, :side], predicted[:side, :side]) is None


def test_a_view_of_nothing_gives_none() -> None:
    image, predicted = pair(12, 0.0, 0.0, 0.02)
    assert align_view(image, np.full_like(predicted, np.nan)) is None
    assert align_view(np.zeros_like(image), predicted) is None
