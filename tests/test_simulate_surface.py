"""The ground of a view is as fine as the view tells apart, and one with its finer patches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.test_simulate_render import camera_above, hills, sun_at, terrain_of
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.pose import Pose
from trn.simulate.surface import Surface, surface_in_view
from trn.simulate.terrain import ReliefSettings

TERRAIN = terrain_of(hills(), ReliefSettings())
SPACING_RAD = 1e-3


def view_rays(pose: Pose, half_width_rad: float = 0.3) -> np.ndarray:
    across = np.tan(np.linspace(-half_width_rad, half_width_rad, 15))
    x, y = np.meshgrid(across, across)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return np.asarray(Rotation.from_quat(pose.quaternion_xyzw).inv().apply(rays))


def seen(altitude_m: float, tilt_deg: float) -> tuple[Pose, np.ndarray, Surface]:
    pose = camera_above(altitude_m, tilt_deg, 30.0)
    rays = view_rays(pose)
    return pose, rays, surface_in_view(TERRAIN, pose.position_m, rays, SPACING_RAD)


@pytest.mark.parametrize(("altitude_m", "tilt_deg"), [(50e3, 20.0), (5e3, 30.0), (200.0, 10.0)])
def test_samples_are_as_far_apart_as_a_pixel_sees(altitude_m: float, tilt_deg: float) -> None:
    pose, rays, surface = seen(altitude_m, tilt_deg)
    ranges = surface.ranges_m(pose.position_m, rays)
    points = pose.position_m + ranges[:, None] * rays
    local = points @ surface.frame.T
    u, v = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    spacing = np.full(len(rays), np.nan)
    for patch in surface.patches:
        low_u, high_u, low_v, high_v = patch.box
        inside = (u >= low_u) & (u <= high_u) & (v >= low_v) & (v <= high_v)
        spacing[inside] = patch.spacing_m
    cosine = -np.sum(points * rays, axis=1) / np.linalg.norm(points, axis=1)
    wanted = ranges * SPACING_RAD / np.sqrt(cosine)
    # Steps are halvings, so a sample may be up to a factor of the square root of two coarser.
    assert np.nanmax(spacing / wanted) < 1.6
    assert np.nanmedian(spacing / wanted) > 0.3


def test_finer_patches_lie_inside_and_agree_where_they_begin() -> None:
    _, _, surface = seen(5e3, 30.0)
    assert len(surface.patches) > 1
    for outer, inner in zip(surface.patches, surface.patches[1:]):
        assert inner.step < outer.step
        assert outer.box[0] <= inner.box[0] and inner.box[1] <= outer.box[1]
        assert outer.box[2] <= inner.box[2] and inner.box[3] <= outer.box[3]
        columns = inner.height_m.shape[1]
        # On the seam both tell the same ground but for what only the finer one can draw.
        u = inner.u0 + inner.step * np.arange(1, columns - 1)
        edge = surface.frame[2] + u[:, None] * surface.frame[0]
        edge = edge + (inner.v0 + inner.step * 1) * surface.frame[1]
        edge *= REFERENCE_RADIUS_M / np.linalg.norm(edge, axis=1, keepdims=True)
        step = inner.height_at(edge) - outer.height_at(edge)
        assert np.abs(step).max() < 1.5 * outer.spacing_m
        assert abs(step.mean()) < 0.2 * outer.spacing_m


def test_the_finest_patch_tells_the_height() -> None:
    pose, rays, surface = seen(5e3, 0.0)
    ranges = surface.ranges_m(pose.position_m, rays)
    points = pose.position_m + ranges[:, None] * rays
    above = np.linalg.norm(points, axis=1) - REFERENCE_RADIUS_M - surface.height_at(points)
    assert np.abs(above).max() < 0.01


def test_a_sun_that_is_low_brings_the_ground_that_may_shade() -> None:
    pose = camera_above(5e3, 0.0)
    rays = view_rays(pose)
    sizes = []
    for sun in (None, sun_at(60.0, 90.0), sun_at(8.0, 90.0)):
        surface = surface_in_view(TERRAIN, pose.position_m, rays, SPACING_RAD, sun_direction=sun)
        box = surface.patches[0].box
        sizes.append((box[1] - box[0]) * (box[3] - box[2]))
    assert sizes[0] < sizes[1] < sizes[2]


def test_samples_are_bounded() -> None:
    pose = camera_above(300.0, 50.0)
    surface = surface_in_view(TERRAIN, pose.position_m, view_rays(pose), 1e-5, samples=50_000)
    assert max(patch.height_m.size for patch in surface.patches) < 60_000


def test_a_view_of_the_sky_or_from_below_the_ground_is_refused() -> None:
    pose = camera_above(5e3, 0.0)
    with pytest.raises(InputError, match="none of the Moon"):
        surface_in_view(TERRAIN, pose.position_m, -view_rays(pose), SPACING_RAD)
    below = camera_above(-4e3, 0.0)
    with pytest.raises(InputError, match="below the ground"):
        surface_in_view(TERRAIN, below.position_m, view_rays(below), SPACING_RAD)
