"""Images that cannot show terrain are named, whatever their depth, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_correlate import texture
from trn.backend.cpu import CpuBackend
from trn.correlate.quality import full_scale_of, image_defect

BACKEND = CpuBackend()


def defect_of(picture: np.ndarray) -> str:
    return image_defect(BACKEND, BACKEND.load_image(picture), full_scale_of(picture))


@pytest.mark.parametrize("kind", ["black", "saturated", "flat", "noise", "stripes"])
@pytest.mark.parametrize("seed", range(5))
def test_images_without_terrain_are_named(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = 300
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 40)
    pictures = {
        "black": rng.integers(0, 3, (side, side)),
        "saturated": np.where(rng.uniform(size=(side, side)) < 0.9, 255, 250),
        "flat": np.full((side, side), rng.integers(20, 200)),
        "noise": np.clip(rng.normal(128, 40, (side, side)), 0, 255),
        "stripes": 128
        + 80 * np.sign(np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)),
    }
    words = {"black": "black", "saturated": "saturated", "flat": "no contrast"}
    reason = defect_of(pictures[kind].astype(np.uint8))
    assert words.get(kind, kind) in reason


def test_terrain_like_texture_is_let_through() -> None:
    for seed in range(10):
        picture = np.clip(120 + 30 * texture(seed, blur_px=3.0), 0, 255).astype(np.uint8)
        assert defect_of(picture) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    picture = (0.4 + 0.1 * texture(8, blur_px=3.0)).astype(np.float64)
    assert defect_of(picture) == ""
    picture[17, 40] = value
    assert "not finite" in defect_of(picture)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
def test_what_is_wrong_does_not_depend_on_the_depth(kind: type) -> None:
    full_scale = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1.0
    relief, first = texture(9, blur_px=3.0), np.arange(200)
    pictures = {
        "": 0.4 + 0.02 * relief,
        "no contrast": 0.4 + 0.0005 * relief,
        "black": np.where(first < 5, 0.4 + 0.1 * relief, 0.005),
        "saturated": np.where(first < 70, 0.4 + 0.1 * relief, 0.999),
    }
    for reason, picture in pictures.items():
        found = defect_of((full_scale * picture).astype(kind))
        assert reason in found and bool(reason) == bool(found)
