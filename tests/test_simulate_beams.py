"""Rays marched in blocks end where each of them would end alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_simulate_render import CAMERA, camera_above, hills, sun_at, terrain_of
from trn.simulate.beams import BLOCK, INNER, beam_pyramids, clear_distances
from trn.simulate.raycast import cast_many
from trn.simulate.render import camera_rays, render, view_surface
from trn.simulate.terrain import ReliefSettings

ROUGH = terrain_of(2.0 * hills(), ReliefSettings())
POSES = [
    (20e3, 0.0, 10.0),
    (30e3, 50.0, 200.0),
    (9e3, 68.0, 77.0),
    (60e3, 75.0, 140.0),
    (2e3, 85.0, 300.0),
    (300.0, 30.0, 20.0),
    (300.0, 100.0, 20.0),
]


@pytest.mark.parametrize(("altitude_m", "tilt_deg", "heading_deg"), POSES)
def test_blocks_are_clear_of_ground_and_rays_end_as_alone(
    altitude_m: float, tilt_deg: float, heading_deg: float
) -> None:
    pose = camera_above(altitude_m, tilt_deg, heading_deg)
    sun = sun_at(30.0, 120.0)
    surface = view_surface(ROUGH, CAMERA, pose, sun)
    rays = camera_rays(CAMERA)
    turn = np.ascontiguousarray(surface.frame @ pose.rotation_body_to_camera().T)
    origin = surface.frame @ pose.position_m
    alone = np.empty(rays.shape[0] * rays.shape[1])
    cast_many(origin, np.ascontiguousarray(rays.reshape(-1, 3) @ turn.T), *surface.packed, alone)
    alone = alone.reshape(rays.shape[:2])

    clear = np.empty([-(-side // BLOCK) * (BLOCK // INNER) for side in rays.shape[:2]])
    table = surface.packed[3]
    clear_distances(0, len(clear), rays, turn, origin, *beam_pyramids(surface), table, clear)
    start = clear.repeat(INNER, axis=0).repeat(INNER, axis=1)[: alone.shape[0], : alone.shape[1]]
    met = np.isfinite(alone)
    assert met.any()
    assert (start[met] <= alone[met]).all()
    # And near it: most of the way is marched once a block.
    if altitude_m > 1e3:
        assert np.median(start[met] / alone[met]) > 0.8

    depth = render(ROUGH, CAMERA, pose, sun, surface=surface).depth_m
    assert np.array_equal(np.isfinite(depth), met)
    assert np.abs(depth[met] - alone[met]).max() < 0.02
