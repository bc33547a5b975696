"""Corners are found again where the ground has moved to, or said to be lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.backend.cpu_contrast import local_contrast
from trn.correlate.flow import corners, followed, in_bytes


def textured(seed: int = 1, side: int = 256) -> np.ndarray:
    """Smooth random ground, float32."""
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2.5)


def moved(image: np.ndarray, x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """The image about its corner scaled, then shifted."""
    matrix = np.array([[scale, 0.0, x], [0.0, scale, y]])
    return cv2.warpAffine(image, matrix, image.shape[::-1], flags=cv2.INTER_CUBIC)


def seen(image: np.ndarray) -> np.ndarray:
    return in_bytes(local_contrast(100.0 + image))


@settings(deadline=None, max_examples=25)
@given(x=st.floats(-6.0, 6.0), y=st.floats(-6.0, 6.0), scale=st.floats(0.95, 1.08))
def test_corners_are_followed_to_a_fifth_of_a_pixel(x: float, y: float, scale: float) -> None:
    image = textured()
    before, after = seen(image), seen(moved(image, x, y, scale))
    begin = corners(before)
    true = scale * begin + [x, y]
    inside = ((true > 20) & (true < 235) & (begin > 20) & (begin < 235)).all(axis=1)
    begin, true = begin[inside], true[inside]
    guess = true + np.random.default_rng(2).normal(0.0, 2.0, true.shape)
    found = followed(before, after, begin, guess)
    kept = np.isfinite(found).all(axis=1)
    assert kept.mean() > 0.7
    apart = np.linalg.norm(found[kept] - true[kept], axis=1)
    assert np.median(apart) < 0.2


def test_corners_of_other_ground_are_lost() -> None:
    before, after = seen(textured(1)), seen(textured(2))
    begin = corners(before)
    found = followed(before, after, begin, begin)
    assert np.isfinite(found).all(axis=1).mean() < 0.2


@pytest.mark.parametrize("level", [0.0, 180.0])
def test_an_image_of_nothing_has_no_corners(level: float) -> None:
    pixels = in_bytes(local_contrast(np.full((64, 64), level, np.float32)))
    assert corners(pixels).shape == (0, 2)
    assert followed(pixels, pixels, np.empty((0, 2)), np.empty((0, 2))).shape == (0, 2)


def test_unknown_pixels_are_grey() -> None:
    contrast = np.array([[np.nan, -9.0, 0.0, 9.0]], np.float32)
    assert in_bytes(contrast).tolist() == [[127, 0, 127, 255]]
