"""The statistics that compare renderings with photographs, on images whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.rendering import (
    UNIFORM,
    correlation,
    gradient_magnitude,
    likeness,
    photographs,
    shrunk,
    spectral_slope,
    statistics,
    with_greys_of,
    without_large_scales,
)
from trn.simulate.render import render
from trn.simulate.terrain import TruthTerrain


def noise_with_slope(exponent: float, seed: int = 0, size: int = 512) -> np.ndarray:
    """Noise whose power falls as the frequency to the exponent."""
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    radius[0, 0] = 1.0
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=(size, size)))
    return np.fft.ifft2(white * radius ** (0.5 * exponent)).real


def test_an_image_correlates_with_itself_whatever_gain_and_offset():
    image = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
    assert correlation(image, image) == pytest.approx(1.0)
    assert correlation(image, 3.0 * image + 17.0) == pytest.approx(1.0)
    assert correlation(image, 255 - image) == pytest.approx(-1.0)


def test_unrelated_images_do_not_correlate():
    a, b = np.random.default_rng(1).normal(size=(2, 200, 200))
    assert abs(correlation(a, b)) < 0.02


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_a_known_spectral_slope_comes_back(exponent: float):
    image = noise_with_slope(exponent)
    assert spectral_slope(image, 0.01, 0.2) == pytest.approx(exponent, abs=0.15)


def test_spectral_slope_is_that_of_the_asked_frequencies():
    fine, coarse = noise_with_slope(0.0, 1), noise_with_slope(-4.0, 2)
    both = fine + 100.0 * coarse / coarse.std()
    assert spectral_slope(both, 0.004, 0.03) < -3.0
    assert spectral_slope(both, 0.3, 0.5) > -2.0


def test_gradient_of_a_ramp():
    ramp = np.tile(np.arange(64.0), (64, 1))
    assert gradient_magnitude(ramp) == pytest.approx(1.0 / ramp.std())


def test_statistics_know_neither_gain_nor_offset():
    image = noise_with_slope(-2.0, size=128)
    assert statistics(image) == pytest.approx(statistics(20.0 * image + 90.0))


def test_greys_of_another_image_undo_a_film_curve():
    image = np.random.default_rng(3).uniform(size=(50, 50))
    assert with_greys_of(image**3, image) == pytest.approx(image)


def test_shrinking_averages_blocks_and_leaves_the_rest():
    image = np.arange(30.0).reshape(5, 6)
    assert shrunk(image, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_trends_are_taken_out():
    ramp = np.tile(np.arange(400.0), (400, 1))
    assert np.abs(without_large_scales(ramp, 5.0)[:, 50:-50]).max() < 1e-6


def test_an_apollo_frame_looks_like_its_rendering(data_dir: Path):
    camera, frames = photographs(data_dir, count=1)
    terrain = TruthTerrain.from_geotiff(data_dir / "maps/apollo15_rev16_64ppd.tif", 1)
    # A quarter of the pixels to render; what they average is what the bench averages.
    small = camera.scaled(2)
    made = render(terrain, small, frames[0].pose, frames[0].sun_direction, settings=UNIFORM)
    found = correlation(shrunk(frames[0].image, 4), shrunk(made.image, 2))
    assert found >= 0.80
    assert likeness(frames[0].image, frames[0].image)["full scale"] == pytest.approx(1.0)
