"""The renderer on the GPU, executed on the CPU from its source, draws the picture of the CPU."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any

import numpy as np
import pytest

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError
from tests.test_simulate_render import CAMERA, camera_above, hills, sun_at, terrain_of
from trn.backend.cuda_device import CudaDevice
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.height_grid import HeightGrid
from trn.simulate.render import RenderedFrame, RenderSettings, render, view_surface
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.terrain import ReliefSettings, TruthTerrain

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

HEIGHT_M = 1e-3
"""What a few roundings of a float make of a height of some kilometres."""
EXACT = RenderSettings(exact_shadows=True)
VIEWS = {
    "straight down": (20e3, 0.0, 10.0, 30.0),
    "oblique, low Sun": (9e3, 50.0, 200.0, 4.0),
    "over the limb": (30e3, 74.0, 77.0, 15.0),
    "in patches of metres": (400.0, 35.0, 300.0, 40.0),
    "at night": (20e3, 20.0, 0.0, -3.0),
}


def tracer(order: int = 0, **settings: Any) -> CudaTracer:
    cupy = FakeCupy(order)
    for name, value in settings.items():
        setattr(cupy, name, value)
    return CudaTracer(CudaDevice(cupy, strict=not settings))


TERRAIN = terrain_of(hills(), ReliefSettings())


def seen(view: str) -> tuple[Pose, np.ndarray]:
    """Pose and Sun of a view; altitudes below a kilometre are over the ground."""
    altitude_m, tilt_deg, heading_deg, elevation_deg = VIEWS[view]
    if altitude_m < 1e3:
        altitude_m += float(TERRAIN.grid.height_m[128, 128])
    return camera_above(altitude_m, tilt_deg, heading_deg), sun_at(elevation_deg, 120.0)


def both(view: str, order: int = 0) -> tuple[RenderedFrame, RenderedFrame]:
    """The frames of the GPU's kernels and of the CPU."""
    pose, sun = seen(view)
    ours, theirs = (
        render(TERRAIN, CAMERA, pose, sun, seed=4, settings=EXACT, tracer=by)
        for by in (tracer(order), None)
    )
    return ours, theirs


@pytest.mark.parametrize(("view", "order"), [(view, k % 2) for k, view in enumerate(VIEWS)])
def test_the_gpus_frame_is_the_cpus(view: str, order: int) -> None:
    ours, theirs = both(view, order)
    for patch, expected in zip(ours.surface.patches, theirs.surface.patches, strict=True):
        assert np.abs(patch.height_m - expected.height_m).max() < HEIGHT_M
    assert (np.isnan(ours.depth_m) == np.isnan(theirs.depth_m)).all()
    # Depth is a float, which at 100 km is good to 8 mm.
    apart_m = np.abs(ours.depth_m - theirs.depth_m)
    assert np.nanmax(apart_m - 2e-7 * theirs.depth_m) < 1e-3
    # A ray to the Sun that grazes a ridge may pass it in one and not in the other.
    alike = np.abs(ours.radiance - theirs.radiance) < 1e-6
    assert alike.mean() > 0.9998
    counts_apart = np.abs(ours.image.astype(int) - theirs.image.astype(int))
    assert (counts_apart > 1).mean() < 1e-3
    assert (theirs.radiance.max() > 0.05) == (view != "at night")


def test_every_kind_of_place_is_in_the_views() -> None:
    """Sky, ground in shadow and in penumbra, patches inside one another."""
    frames = {view: both(view)[1] for view in ("over the limb", "oblique, low Sun")}
    assert 0.1 < np.isnan(frames["over the limb"].depth_m).mean() < 0.9
    radiance = frames["oblique, low Sun"].radiance
    assert 0.05 < (radiance == 0.0).mean() < 0.95
    assert len(both("in patches of metres")[1].surface.patches) >= 4


def periodic() -> TruthTerrain:
    """Ground all around the Moon, on a coarse grid."""
    row, column = np.mgrid[:90, :180] / 90.0
    height = 900.0 * np.sin(21.0 * row) * np.cos(np.pi * 12.0 * column)
    grid = HeightGrid(
        height.astype(np.float32), np.ones(height.shape, bool), 89.0, -179.0, -2.0, 2.0
    )
    return TruthTerrain(grid, 3, ReliefSettings())


@pytest.mark.parametrize("latitude_deg", [40.0, 88.5])
def test_ground_across_the_date_line_and_at_a_pole_is_the_cpus(latitude_deg: float) -> None:
    terrain = periodic()
    place = position_from_geographic(math.radians(latitude_deg), math.radians(180.0), 0.0)
    frame = east_north_up(place)
    box = (-0.02, 0.025, -0.03, 0.01)
    ours = terrain.patch(frame, box, 2e-4, tracer().relief)
    theirs = terrain.patch(frame, box, 2e-4)
    assert np.abs(ours.height_m - theirs.height_m).max() < HEIGHT_M
    assert np.ptp(theirs.height_m) > 100.0


def test_a_surface_is_uploaded_once_for_several_frames() -> None:
    terrain, pose, sun = terrain_of(hills()), camera_above(20e3, 0.0), sun_at(30.0, 120.0)
    by = tracer()
    surface = view_surface(terrain, CAMERA, pose, sun)
    uploads = []
    for seed in range(2):
        before = by.device.cupy.uploads
        render(terrain, CAMERA, pose, sun, seed=seed, surface=surface, tracer=by)
        uploads.append(by.device.cupy.uploads - before)
    # Heights, levels, patches, and what albedo is made of.
    assert uploads == [4, 0]


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("out of memory"), CUDARuntimeError("the device is lost")]
)
def test_a_frame_that_the_gpu_fails_is_drawn_by_the_cpu(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    terrain, pose, sun = terrain_of(hills()), camera_above(20e3, 0.0), sun_at(6.0, 120.0)
    by = tracer(fail_next=error)
    with caplog.at_level(logging.WARNING):
        ours = render(terrain, CAMERA, pose, sun, tracer=by)
    theirs = render(terrain, CAMERA, pose, sun, settings=EXACT)
    lost = not isinstance(error, MemoryError)
    patches = len(theirs.surface.patches)
    # Each patch, the rays that look for a finer one, the frame.
    assert by.device.fallbacks == (2 * patches + 1 if lost else 1)
    assert np.array_equal(ours.image, theirs.image)
    assert "CPU" in caplog.text


def test_settings_of_ground_and_light_reach_the_kernels() -> None:
    terrain, pose, sun = terrain_of(hills()), camera_above(20e3, 20.0), sun_at(30.0, 120.0)
    hapke = dataclasses.replace(EXACT.hapke, single_scattering_albedo=0.3, roughness_deg=10.0)
    settings = dataclasses.replace(EXACT, hapke=hapke, albedo_contrast=4.0, albedo_texture=0.1)
    ours, theirs = (
        render(terrain, CAMERA, pose, sun, settings=settings, tracer=by) for by in (tracer(), None)
    )
    assert np.abs(ours.radiance - theirs.radiance).mean() < 1e-6
    plain = render(terrain, CAMERA, pose, sun, settings=EXACT)
    assert np.abs(plain.radiance - theirs.radiance).mean() > 0.01
