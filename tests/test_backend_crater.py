"""The compiled crater response is what plain NumPy makes of the same formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.pictured import craters_pictured
from trn.backend.cpu import CpuBackend
from trn.backend.cpu_crater import (
    HALF_WIDTH,
    bowl_kernel,
    correlate_odd,
)


def reference(image, kernel, floor):
    """Correlation over the window's spread, pixel by pixel; interior only."""
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), kernel.shape[1:])
    spread = np.sqrt(windows.var(axis=(2, 3)) + floor**2)
    return np.stack([(windows * part).sum(axis=(2, 3)) / spread for part in kernel])


def test_correlation_is_the_reference():
    image = np.random.default_rng(3).normal(size=(40, 57)).astype(np.float32)
    kernel = bowl_kernel()
    inner = (image.shape[0] - 2 * HALF_WIDTH, image.shape[1] - 2 * HALF_WIDTH)
    out = np.empty((2, *inner), dtype=np.float32)
    correlate_odd(image, kernel, 0.1, 0, inner[0], out)
    np.testing.assert_allclose(out, reference(image, kernel, 0.1), atol=2e-5)


def test_the_kernel_is_odd_turned_and_blind_to_slopes():
    kernel = bowl_kernel().astype(np.float64)
    np.testing.assert_allclose(kernel, -kernel[:, ::-1, ::-1], atol=1e-8)
    np.testing.assert_allclose(kernel[1], kernel[0].T, atol=1e-8)
    y, x = np.mgrid[-HALF_WIDTH : HALF_WIDTH + 1, -HALF_WIDTH : HALF_WIDTH + 1]
    assert abs((kernel[0] * x).sum()) < 1e-4 * np.abs(kernel[0] * x).sum()
    assert abs((kernel[0] * y).sum()) < 1e-6
    # A window that is the kernel itself responds with 1.
    assert (kernel[0] ** 2).sum() / kernel[0].std() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("sun_px", [0.0, 1.0, 2.5, -2.0])
def test_a_peak_stands_on_the_crater_and_tells_its_sun(sun_px: float):
    image = craters_pictured(np.array([[60.0, 50.0, 12.0, 12.0, 0.0]]), 110, sun_px, noise=0.5)
    normal = (image.astype(np.float32) - image.mean()) / image.std()
    radii = 4.0 * 2.0 ** (np.arange(10) / 3.0)
    backend = CpuBackend()
    peaks = backend.crater_response(backend.load_image(normal), radii, None, 0.2)
    best = int(np.argmax(peaks.score))
    assert math.hypot(peaks.x[best] - 60.0, peaks.y[best] - 50.0) < 2.5
    assert 9.0 < peaks.radius_px[best] < 16.0
    turn = (peaks.sun_px[best] - sun_px + math.pi) % (2.0 * math.pi) - math.pi
    assert abs(turn) < 0.15
    lit = backend.crater_response(backend.load_image(normal), radii, sun_px, 0.2)
    assert lit.score.max() == pytest.approx(peaks.score[best], abs=0.02)


def test_flat_and_small_images_have_no_peaks():
    backend = CpuBackend()
    radii = np.array([4.0, 8.0])
    flat = backend.load_image(np.zeros((60, 60), dtype=np.float32))
    assert len(backend.crater_response(flat, radii, 0.0, 0.3)) == 0
    small = backend.load_image(np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32))
    assert len(backend.crater_response(small, radii, 0.0, 0.3)) == 0
