"""The renderer on the GPU, executed on the CPU from its source, draws the picture of the CPU."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError
from tests.test_simulate_render import CAMERA, camera_above, hills, sun_at, terrain_of
from trn.backend.cuda_device import CudaDevice
from trn.camera import Camera
from trn.simulate.render import RenderedFrame, RenderSettings, render, view_surface
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.terrain import ReliefSettings

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

EXACT = RenderSettings(exact_shadows=True)
VIEWS = {
    "straight down": (20e3, 0.0, 10.0, 30.0),
    "oblique, low Sun": (9e3, 50.0, 200.0, 4.0),
    "over the limb": (30e3, 74.0, 77.0, 15.0),
    "in patches of metres": (120.0, 35.0, 300.0, 40.0),
    "at night": (20e3, 20.0, 0.0, -3.0),
}


def tracer(order: int = 0, **settings: Any) -> CudaTracer:
    cupy = FakeCupy(order)
    for name, value in settings.items():
        setattr(cupy, name, value)
    return CudaTracer(CudaDevice(cupy, strict=not settings))


def both(view: str, order: int = 0, camera: Camera = CAMERA) -> tuple[RenderedFrame, RenderedFrame]:
    """The frames of the GPU's kernels and of the CPU."""
    altitude_m, tilt_deg, heading_deg, elevation_deg = VIEWS[view]
    terrain = terrain_of(hills(), ReliefSettings())
    pose, sun = camera_above(altitude_m, tilt_deg, heading_deg), sun_at(elevation_deg, 120.0)
    if altitude_m < 1e3:
        ground = float(terrain.grid.height_m[128, 128])
        pose = camera_above(ground + 400.0, tilt_deg, heading_deg)
    surface = view_surface(terrain, camera, pose, sun, EXACT)
    return tuple(
        render(terrain, camera, pose, sun, seed=4, settings=EXACT, surface=surface, tracer=by)
        for by in (tracer(order), None)
    )


@pytest.mark.parametrize(("view", "order"), [(view, k % 2) for k, view in enumerate(VIEWS)])
def test_the_gpus_frame_is_the_cpus(view: str, order: int) -> None:
    ours, theirs = both(view, order)
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


def test_a_surface_is_uploaded_once_for_several_frames() -> None:
    terrain, pose, sun = terrain_of(hills()), camera_above(20e3, 0.0), sun_at(30.0, 120.0)
    by = tracer()
    surface = view_surface(terrain, CAMERA, pose, sun)
    uploads = []
    for seed in range(2):
        before = by.device.cupy.uploads
        render(terrain, CAMERA, pose, sun, seed=seed, surface=surface, tracer=by)
        uploads.append(by.device.cupy.uploads - before)
    # Heights, pyramids, their levels, patches; then only what albedo is made of.
    assert uploads == [5, 1]


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
    assert by.device.fallbacks == 1
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
