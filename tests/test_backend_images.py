"""Images shrink by area, and resemblance is what two views share below the large scales."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trn.backend.cpu_images import resemblance, shrunk


def ground(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(200, 200)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2.0)


def test_a_shrunk_image_holds_the_means_of_its_blocks() -> None:
    image = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    small = shrunk(image, 16, 12)
    assert small.dtype == np.float32
    assert small == pytest.approx(image.reshape(12, 4, 16, 4).mean(axis=(1, 3)))


def test_an_image_of_the_size_asked_for_stays_as_it_is() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert np.array_equal(shrunk(image, 8, 6), image)


def test_a_view_resembles_itself_whatever_gain_offset_and_shading_across() -> None:
    view = ground(1)
    slope = np.linspace(0, 3, 200, dtype=np.float32)
    assert resemblance(view, view) == pytest.approx(1.0)
    assert resemblance(5.0 * view + 2.0 + slope, view) > 0.95
    assert resemblance(-view, view) == pytest.approx(-1.0)


def test_strangers_do_not_resemble_each_other() -> None:
    scores = [resemblance(ground(2 * k), ground(2 * k + 1)) for k in range(20)]
    assert np.abs(scores).max() < 0.15


def test_only_what_is_predicted_counts() -> None:
    view, image = ground(1), ground(1)
    image[:, :100] = ground(3)[:, :100]
    view[:, :100] = np.nan
    assert resemblance(image, view) > 0.95
    assert resemblance(image, np.full_like(view, np.nan)) == 0.0
