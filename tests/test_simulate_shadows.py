"""Swept shadows are those that a ray a pixel to the Sun finds."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest

from tests.test_simulate_render import CAMERA, QUIET, camera_above, hills, sun_at, terrain_of
from trn.simulate.render import render, view_surface
from trn.simulate.shadows import SUN_RADIUS_RAD, Shadows, cast_shadows, visible_fraction
from trn.simulate.surface import Surface
from trn.simulate.terrain import ReliefSettings

ROUGH = terrain_of(2.0 * hills(), ReliefSettings())
EXACT = dataclasses.replace(QUIET, exact_shadows=True)


def swept(surface: Surface, sun: np.ndarray, workers: int | None = None) -> Shadows:
    shadows = cast_shadows(surface, surface.frame @ sun, workers)
    assert shadows is not None
    return shadows


@pytest.mark.parametrize("azimuth_deg", [3.0, 47.0, 90.0, 135.0, 181.0, 222.0, 268.0, 315.0])
def test_shadows_differ_from_a_ray_a_pixel_only_at_their_borders(azimuth_deg: float) -> None:
    pose, sun = camera_above(4e3, 50.0, 20.0), sun_at(14.0, azimuth_deg)
    surface = view_surface(ROUGH, CAMERA, pose, sun)
    assert len(surface.patches) > 1
    fast = render(ROUGH, CAMERA, pose, sun, settings=QUIET, surface=surface).radiance
    exact = render(ROUGH, CAMERA, pose, sun, settings=EXACT, surface=surface).radiance
    lit = np.maximum(fast, exact) > 0.0
    # Both are the same but for the visible fraction of the Sun.
    lighter = np.where(lit, (fast - exact) / np.where(lit, np.maximum(fast, exact), 1.0), 0.0)
    assert 0.1 < (exact == 0.0).mean() < 0.9
    assert (np.abs(lighter) > 0.5).mean() < 0.03
    assert abs(lighter.mean()) < 0.01
    # Not a pixel is wrong that has only light, or only shadow, within two samples.
    dark = (exact <= 0.0).astype(np.uint8)
    around = np.ones((5, 5), np.uint8)
    clear = cv2.dilate(dark, around) == cv2.erode(dark, around)
    assert clear.mean() > 0.3
    assert (np.abs(lighter[clear]) > 0.5).mean() < 0.002


def test_a_sphere_and_a_plain_cast_no_shadows() -> None:
    terrain = terrain_of(np.zeros((256, 256)))
    pose, sun = camera_above(30e3, 40.0), sun_at(5.0, 60.0)
    surface = view_surface(terrain, CAMERA, pose, sun, QUIET)
    shadows = swept(surface, sun)
    for clearance in shadows.clearance[: len(surface.patches)]:
        # The ground falls away from the Sun, and by less than its height: lit everywhere.
        assert clearance[..., 0].min() > 0.0 and clearance[..., 2].min() > 0.0


@pytest.mark.parametrize("azimuth_deg", [10.0, 100.0])
def test_same_bytes_whatever_the_number_of_threads(azimuth_deg: float) -> None:
    sun = sun_at(15.0, azimuth_deg)
    surface = view_surface(ROUGH, CAMERA, camera_above(20e3, 50.0), sun)
    one, many = swept(surface, sun, 1), swept(surface, sun, 3)
    assert one.transposed == many.transposed
    for first, second in zip(one.clearance, many.clearance, strict=True):
        assert np.array_equal(first, second)


def test_a_sun_overhead_is_left_to_rays() -> None:
    pose, sun = camera_above(20e3, 0.0), sun_at(89.9, 0.0)
    surface = view_surface(ROUGH, CAMERA, pose, sun)
    assert cast_shadows(surface, surface.frame @ sun) is None
    frame = render(ROUGH, CAMERA, pose, sun, surface=surface)
    assert frame.radiance.min() > 0.0


def test_the_disc_is_cut_where_the_horizon_is() -> None:
    # An edge 1000 m away hides the Sun up to a share of its radius over its centre.
    for over in (-1.5, -0.99, -0.5, 0.0, 0.3, 0.9, 1.5):
        metres = 1000.0 * SUN_RADIUS_RAD * np.array([-1.0 - over, 0.0, 1.0 - over])
        metres[1] = 1000.0
        clearance = np.broadcast_to(metres.astype(np.float32), (3, 3, 3)).copy()
        x = min(max(over, -1.0), 1.0)
        expected = (math.acos(x) - x * math.sqrt(1.0 - x * x)) / math.pi
        for backwards in (False, True):
            seen = visible_fraction(clearance, 0.7, 1.2, backwards)
            assert seen == pytest.approx(expected, abs=1e-4)
