"""Landmarks are found where they are, with the uncertainty that is claimed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trn.backend.cpu import CpuBackend
from trn.backend.cpu_contrast import local_contrast
from trn.backend.cpu_correlate import correlation_plane
from trn.backend.protocol import Peaks, PixelGrid, Searches
from trn.correlate import Landmarks, choose_landmarks, match_landmarks
from trn.correlate.match import SEARCH_SIGMAS, peak_covariance


def texture(seed: int, side: int = 200, blur_px: float = 2.0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def shifted(image: NDArray[np.float32], x: float, y: float) -> NDArray[np.float32]:
    """The image moved by (x, y) pixels, exactly, by the Fourier shift theorem."""
    rows = np.fft.fftfreq(image.shape[0])[:, None]
    columns = np.fft.fftfreq(image.shape[1])[None, :]
    spectrum = np.fft.fft2(image) * np.exp(-2j * np.pi * (x * columns + y * rows))
    return np.real(np.fft.ifft2(spectrum)).astype(np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.4), (3.7, 2.2), (-5.5, 6.25)])
def test_a_shift_is_found_to_a_twentieth_of_a_pixel(shift: tuple[float, float]) -> None:
    predicted = texture(1)
    image = shifted(predicted, *shift)
    landmarks = choose_landmarks(CpuBackend(), predicted, predicted.shape, 31, 20, 50, 12)
    place = np.repeat(4.0 * np.eye(2)[None], len(landmarks), axis=0)
    found = match_landmarks(
        CpuBackend(), image, image.shape, predicted, landmarks, place,
        noise_area_px2=1.0, least_gap=0.05,
    )  # fmt: skip
    assert found.accepted.all()
    assert np.abs(found.offset_px - shift).max() < 0.05


def test_claimed_covariance_matches_the_scatter_under_white_noise() -> None:
    predicted = texture(2)
    landmarks = choose_landmarks(CpuBackend(), predicted, predicted.shape, 31, 31, 50, 8)
    place = np.repeat(0.5 * np.eye(2)[None], len(landmarks), axis=0)
    square = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 0.5, predicted.shape).astype(np.float32)
        image = predicted + noise
        found = match_landmarks(
            CpuBackend(), image, image.shape, predicted, landmarks, place,
            noise_area_px2=1.0, least_gap=0.05,
        )  # fmt: skip
        weight = np.linalg.inv(found.covariance_px2)
        square.append(np.einsum("ni,nij,nj->n", found.offset_px, weight, found.offset_px))
    assert 0.7 < np.mean(square) / 2 < 1.5


def test_the_covariance_of_a_peak_is_its_curvature_s_inverse_scaled_by_its_score() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(0.0, 0.3, (50, 2, 2))
    curvature = root @ np.swapaxes(root, 1, 2) + 0.01 * np.eye(2)
    score = rng.uniform(0.1, 0.99, 50)
    curvature[7] = 0.0
    expected = ((1 - score**2) / (score * 200.0))[:, None, None] * np.linalg.pinv(curvature)
    expected[7] = np.eye(2)
    found = peak_covariance(score, curvature, 200.0)
    np.testing.assert_allclose(found, expected + 1e-4 * np.eye(2), rtol=1e-9, atol=1e-12)


class Asked:
    """A backend that keeps what it is asked for, and finds nothing."""

    def correlate(self, image: object, predicted: object, searches: Searches) -> Peaks:
        self.searches = searches
        none = np.zeros(len(searches))
        return Peaks(none, none, none, none, np.zeros((len(none), 2, 2)), none > 0)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), st.booleans(), st.integers(0, 12))
def test_windows_reach_as_far_as_landmarks_may_be_within_the_image(
    seed: int, whole: bool, least: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = PixelGrid(10, 12, 9, 7, 8)
    cells = rng.permutation(56)[:20]
    landmarks = Landmarks(21, grid, cells, np.ones(20))
    place = np.zeros((20, 2, 2))
    place[:, 0, 0], place[:, 1, 1] = rng.uniform(0, 40, (2, 20)) ** 2
    asked = Asked()
    found = match_landmarks(
        asked, None, (90, 110), None, landmarks, place,
        noise_area_px2=1.0, least_gap=0.05, whole_windows=whole, least_window_px=least,
        most_window_px=60,
    )  # fmt: skip
    corner = np.stack(landmarks.centres(np.arange(20)), axis=-1) - 10
    sigma = np.sqrt(np.einsum("nii->ni", place))
    reach = np.clip(np.ceil(SEARCH_SIGMAS * sigma) + 1, least, 60).astype(int)
    first, last = (np.clip(corner + s * reach, 0, [110 - 21, 90 - 21]) for s in (-1, 1))
    taken = (last - first >= 2).all(axis=1)
    if whole:
        taken &= (last - first == 2 * reach).all(axis=1)
    assert (found.landmark == np.flatnonzero(taken)).all()
    s = asked.searches
    assert (np.stack([s.template_x, s.template_y], -1) == corner[taken]).all()
    assert (np.stack([s.window_x, s.window_y], -1) == first[taken]).all()
    assert (np.stack([s.window_columns, s.window_rows], -1) == (last - first + 1)[taken]).all()
    assert (found.placements == (last - first + 1)[taken].prod(axis=1)).all()


def test_a_repeating_pattern_is_ambiguous() -> None:
    x = np.arange(200)
    predicted = (np.sin(x / 3)[:, None] + np.sin(x / 3)[None, :]).astype(np.float32)
    landmarks = choose_landmarks(CpuBackend(), predicted, predicted.shape, 31, 30, 20, 40)
    place = np.repeat(60.0 * np.eye(2)[None], len(landmarks), axis=0)
    found = match_landmarks(
        CpuBackend(), predicted, predicted.shape, predicted, landmarks, place,
        noise_area_px2=1.0, least_gap=0.05,
    )  # fmt: skip
    assert len(found.accepted) > 0
    assert not found.accepted.any()


def test_scores_equal_the_definition_of_zero_mean_ncc() -> None:
    image, predicted = texture(3, 60), texture(4, 60)
    one = np.array([0], dtype=np.int32)
    searches = Searches(15, one + 20, one + 22, one + 10, one + 11, one + 17, one + 19)
    plane = correlation_plane(image, predicted, searches, 0)
    template = predicted[22:37, 20:35] - predicted[22:37, 20:35].mean()
    assert plane.shape == (19, 17)
    for row, column in ((0, 0), (7, 11), (18, 16)):
        window = image[11 + row : 26 + row, 10 + column : 25 + column]
        window = window - window.mean()
        score = (template * window).sum() / np.sqrt((template**2).sum() * (window**2).sum())
        assert plane[row, column] == pytest.approx(score, abs=2e-4)


def test_landmarks_avoid_flat_and_unpredictable_ground() -> None:
    predicted = texture(5)
    predicted[:, :80] = 0.5
    predicted[100:, 120:] = np.nan
    landmarks = choose_landmarks(CpuBackend(), predicted, predicted.shape, 21, 10, 500)
    assert len(landmarks) > 10
    columns, rows = landmarks.centres(np.arange(len(landmarks)))
    assert columns.min() > 70
    lower = rows > 100
    assert columns[lower].max() < 125


def test_local_contrast_forgets_exposure_and_slow_albedo() -> None:
    scene = 10.0 + texture(6)
    slow = np.linspace(1.0, 1.3, 200, dtype=np.float32)[None, :]
    plain, changed = local_contrast(scene), local_contrast(37.0 * slow * scene)
    inner = slice(30, -30)
    assert np.corrcoef(plain[inner, inner].ravel(), changed[inner, inner].ravel())[0, 1] > 0.999


def test_local_contrast_keeps_holes_and_their_surroundings() -> None:
    scene = 10.0 + texture(7)
    holed = scene.copy()
    holed[80:110, 80:110] = np.nan
    contrast = local_contrast(holed)
    assert (np.isnan(contrast) == np.isnan(holed)).all()
    far = np.s_[:30, :30]
    assert contrast[far] == pytest.approx(local_contrast(scene)[far], abs=0.02)
