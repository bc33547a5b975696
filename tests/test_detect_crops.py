"""Crops: every crater comes out as the same circle, whatever its size, slant and light."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trn.detect.crops import CROP_PX, DIAMETERS, LEAST_SIDE_PX, cut, cut_by_arrays, frames, halved

Array32 = NDArray[np.float32]

# Places of a crop's pixels, in diameters from its middle.
PLACES = (np.arange(CROP_PX) - 0.5 * (CROP_PX - 1)) * DIAMETERS / CROP_PX
U, V = np.meshgrid(PLACES, PLACES)


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std())


def bowl(side: int, ellipse: NDArray[np.float64]) -> Array32:
    """A smooth mark that depends on the place in the ellipse alone."""
    y, x = np.mgrid[:side, :side]
    inside = np.linalg.inv(frames(ellipse[None])[0])
    u, v = np.einsum("ij,jhw->ihw", inside, np.stack([x - ellipse[0], y - ellipse[1]]))
    return mark(u, v).astype(np.float32)


def mark(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(20.0 * (u + 0.5 * v) * np.exp(-4.0 * (u * u + v * v)))


@settings(deadline=None)  # The first call compiles.
@given(
    size=st.floats(8.0, 60.0),
    ratio=st.floats(1.0, 2.5),
    theta=st.floats(-1.5, 1.5),
    x=st.floats(90.0, 110.0),
)
def test_a_crop_shows_the_crater_as_a_circle(
    size: float, ratio: float, theta: float, x: float
) -> None:
    root = math.sqrt(ratio)
    ellipse = np.array([x, 99.3, 0.5 * size * root, 0.5 * size / root, theta])
    crop = cut(halved(bowl(200, ellipse)), ellipse[None, :2], frames(ellipse[None]))[0, 0]
    np.testing.assert_allclose(crop, standardised(mark(U, V)), atol=0.25)


def test_large_craters_are_cut_from_the_image_made_smaller() -> None:
    """Fine noise would alias otherwise: here it is averaged away."""
    ellipse = np.array([256.0, 256.0, 100.0, 80.0, 0.4])
    noise = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    image = bowl(512, ellipse) + np.float32(3.0) * noise
    crop = cut(halved(image), ellipse[None, :2], frames(ellipse[None]))[0, 0]
    off = crop - standardised(mark(U, V))
    assert off.std() < 0.3  # 0.8 with every pixel's noise.


def test_halves_end_before_they_are_too_small() -> None:
    levels = halved(np.ones((301, 140), np.float32))
    assert [level.shape for level in levels] == [(301, 140), (150, 70), (75, 35)]
    assert min(halved(np.ones((7, 300), np.float32))[-1].shape) == 7 < LEAST_SIDE_PX
    assert all((level == 1.0).all() for level in levels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2), (64, 64)])
def test_past_the_border_pixels_repeat(shape: tuple[int, int]) -> None:
    ellipses = np.array([[0.0, 0.0, 9.0, 8.0, 0.1], [70.0, -5.0, 300.0, 100.0, 1.0]])
    crops = cut(halved(np.full(shape, 0.3, np.float32)), ellipses[:, :2], frames(ellipses))
    np.testing.assert_allclose(crops, 0.0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (300, 170)])
def test_arrays_cut_the_same_crops(shape: tuple[int, int]) -> None:
    """As a GPU does it: CuPy's arrays are NumPy's here."""
    rng = np.random.default_rng(4)
    image = rng.normal(size=shape).astype(np.float32)
    a = np.exp(rng.uniform(1.0, 4.5, 60))
    ellipses = np.column_stack(
        [rng.uniform(-9, 310, (60, 2)), a, a * rng.uniform(0.4, 1.0, 60), rng.uniform(-2, 2, 60)]
    )
    levels = halved(image)
    ours = cut(levels, ellipses[:, :2], frames(ellipses))
    theirs = cut_by_arrays(levels, ellipses[:, :2], frames(ellipses), np)
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_is_nearly_flat_is_not_stretched_to_full_contrast() -> None:
    image = 1e-4 * np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    ellipse = np.array([[32.0, 32.0, 8.0, 8.0, 0.0]])
    assert np.abs(cut(halved(image), ellipse[:, :2], frames(ellipse))).max() < 0.1


def test_no_craters_are_no_crops() -> None:
    assert cut([np.zeros((40, 40), np.float32)], np.empty((0, 2)), np.empty((0, 2, 2))).shape == (
        0, 1, CROP_PX, CROP_PX,
    )  # fmt: skip
