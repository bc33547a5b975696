"""Dust veils the last metres, and nothing above."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_simulate_render import CAMERA, camera_above
from trn.simulate.plume import FIRST_DUST_ALTITUDE_M, through_dust

POSE = camera_above(20.0, 10.0)


def scene() -> np.ndarray:
    """Sunlit ground with hard shadows."""
    checks = np.indices((CAMERA.height, CAMERA.width)).sum(axis=0) // 8 % 2
    return (0.01 + 0.09 * checks).astype(np.float32)


def test_there_is_no_dust_high_up_or_where_none_is_asked_for() -> None:
    picture = scene()
    assert through_dust(picture, CAMERA, POSE, FIRST_DUST_ALTITUDE_M, 2.0, 0) is picture
    assert through_dust(picture, CAMERA, POSE, 5.0, 0.0, 0) is picture


def test_contrast_fades_as_the_lander_sinks() -> None:
    contrast = [
        float(through_dust(scene(), CAMERA, POSE, altitude_m, 2.0, 0).std())
        for altitude_m in (49.0, 30.0, 15.0, 1.0)
    ]
    assert np.all(np.diff(contrast) < 0.0)
    assert contrast[-1] < 0.35 * contrast[0]


def test_dust_is_as_bright_as_ground_and_the_same_for_a_seed() -> None:
    veiled = through_dust(scene(), CAMERA, POSE, 0.0, 20.0, 3)
    assert np.median(veiled) == pytest.approx(0.08 * 0.55, rel=0.7)
    assert veiled.max() <= 0.1 + 1e-6
    assert np.array_equal(veiled, through_dust(scene(), CAMERA, POSE, 0.0, 20.0, 3))
    thin = [through_dust(scene(), CAMERA, POSE, 10.0, 1.0, seed) for seed in (3, 4)]
    assert not np.array_equal(*thin)
