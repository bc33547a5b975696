"""What stays on the GPU of the simulator's ground, executed on the CPU, is what the CPU makes."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError
from tests.test_cuda_render import TERRAIN, VIEWS, periodic, seen, tracer
from tests.test_simulate_render import CAMERA
from trn.backend.cuda_device import CudaDevice
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.ground_cuda import CudaHeights, level_table
from trn.simulate.patch import Patch
from trn.simulate.raycast import pyramid
from trn.simulate.relief_cuda import CudaRelief
from trn.simulate.render import view_surface
from trn.simulate.surface import Surface
from trn.simulate.terrain import CpuRelief, Relief
from trn.simulate.window import Window

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

SHAPES = [(2, 2), (2, 41), (5, 5), (6, 5), (129, 129), (130, 133), (3, 4200), (517, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_pyramid_and_the_lowest_ground_are_the_cpus(shape: tuple[int, int], order: int) -> None:
    random = np.random.default_rng(sum(shape))
    device = CudaDevice(FakeCupy(order), strict=True)
    # Single peaks and pits, on the edges of blocks too, would be lost by one that is left out.
    for sign in (1.0, -1.0):
        heights = (sign * random.exponential(300.0, shape) - 200.0).astype(np.float32)
        heights[-1, -1] = 9e3 * sign
        maxima, table = CudaHeights(device, device.upload(heights)).maxima()
        expected, shapes = pyramid(heights)
        assert np.array_equal(table[:-1], shapes)
        assert np.array_equal(device.to_host(maxima)[: len(expected)], expected)
        assert maxima[table[-1, 0]] == heights.min()


def test_levels_of_every_shape_lie_where_the_cpu_has_them() -> None:
    for rows, columns in np.random.default_rng(1).integers(2, 3000, (200, 2)):
        table, lows = level_table(int(rows), int(columns))
        down, across = (int(side) for side in table[0, 1:])
        assert (down, across) == (math.ceil((rows - 1) / 4), math.ceil((columns - 1) / 4))
        assert table[-2, 1:].tolist() == [1, 1]
        assert lows[0] == table[-2, 0] + 1
        assert table[-1, 0] >= lows[-1]


@pytest.mark.parametrize("view", VIEWS)
def test_rays_that_shape_a_surface_meet_it_where_the_cpus_do(view: str) -> None:
    """To far less than the millimetre of the frame's: patches must not differ in their samples."""
    pose, sun = seen(view)
    surface = view_surface(TERRAIN, CAMERA, pose, sun)
    random = np.random.default_rng(5)
    down = -pose.position_m / np.linalg.norm(pose.position_m)
    rays = random.normal(size=(3000, 3)) * random.choice([0.1, 1.0, 3.0], (3000, 1)) + down
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origin, local = surface.frame @ pose.position_m, np.ascontiguousarray(rays @ surface.frame.T)
    relief = tracer().relief
    for count in range(1, len(surface.patches) + 1):
        patches = surface.patches[:count]
        ours = relief.ranges_m(patches, origin, local)
        theirs = CpuRelief().ranges_m(patches, origin, local)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        assert np.nanmax(np.abs(ours - theirs)) < 1e-6
        assert 0.2 < np.isnan(theirs).mean() < 0.9


def test_rays_from_the_ground_itself_and_from_below_it() -> None:
    """Where a seam of patches lets a ray in under the ground it has met it."""
    pose, sun = seen("in patches of metres")
    surface = view_surface(TERRAIN, CAMERA, pose, sun)
    random = np.random.default_rng(6)
    rays = random.normal(size=(500, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    for over_m in (0.01, -30.0):
        height = float(surface.height_at(pose.position_m)) + over_m
        up = surface.frame @ pose.position_m / np.linalg.norm(pose.position_m)
        origin = (REFERENCE_RADIUS_M + height) * up
        ours = tracer().relief.ranges_m(surface.patches, origin, rays)
        theirs = CpuRelief().ranges_m(surface.patches, origin, rays)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        assert np.nanmax(np.abs(ours - theirs)) < 1e-6


@pytest.mark.parametrize("latitude_deg", [0.0, 46.5, 88.5, -89.99])
def test_roughness_at_nodes_is_the_cpus(latitude_deg: float) -> None:
    """On a map of all the Moon, across its seam, and on a small one, beyond its edges."""
    for terrain, longitude_deg in ((periodic(), 180.0), (TERRAIN, 12.0)):
        frame = east_north_up(
            position_from_geographic(math.radians(latitude_deg), math.radians(longitude_deg), 0.0)
        )
        rough = terrain.roughness
        for window in (
            Window(frame, -3, 5, 2, 3, 1e-5),
            Window(frame, -150, -140, 300, 290, 2e-4),
            Window(frame, -900, 20, 1500, 40, 3e-3),
        ):
            ours = CudaRelief(CudaDevice(FakeCupy(), strict=True)).nodes(rough, window)
            theirs = rough.at_nodes(window, rough.strength, rough.decay, rough.highland)
            for plane, expected in zip(ours, theirs, strict=True):
                assert plane.shape == expected.shape == rough.nodes(window)
                # Where neighbours on the map differ most a place is off by its last bits.
                np.testing.assert_allclose(plane, expected, rtol=1e-6, atol=1e-6)


def surface_of(by: Relief) -> Surface:
    pose, sun = seen("straight down")
    return view_surface(TERRAIN, CAMERA, pose, sun, relief=by)


def test_heights_come_to_the_host_where_they_are_asked_for_and_once() -> None:
    by = tracer()
    surface = surface_of(by.relief)
    cupy = by.device.cupy
    heights = sum(4 * rows * columns for rows, columns in (p.shape for p in surface.patches))
    # The rays that shaped it, and the ground under the camera.
    assert 0 < cupy.downloaded_bytes < 0.1 * heights
    before, first = cupy.downloaded_bytes, surface.patches[0]
    assert first.height_m is first.height_m
    assert not first.height_m.flags.writeable
    assert cupy.downloaded_bytes - before == first.height_m.nbytes


def test_height_at_a_place_is_the_same_before_and_after_heights_come() -> None:
    surface = surface_of(tracer().relief)
    for patch in surface.patches:
        rows, columns = patch.shape
        place = patch.frame[2] + (patch.u0 + 3.3 * patch.step) * patch.frame[0]
        corner = patch.frame.T @ np.array([patch.u0, patch.v0 + (rows - 1) * patch.step, 1.0])
        here = [float(patch.height_at(point)) for point in (place, corner * (1 - 1e-15))]
        plain = Patch(patch.height_m, patch.frame, patch.u0, patch.v0, patch.step)
        there = [float(plain.height_at(point)) for point in (place, corner * (1 - 1e-15))]
        np.testing.assert_array_equal(here, there)
        assert math.isfinite(here[0])
        assert columns > 4


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("out of memory"), CUDARuntimeError("the device is lost")]
)
def test_heights_that_the_gpu_does_not_give_back_are_made_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    by = tracer(fail_next=None)
    surface = surface_of(by.relief)
    expected = surface_of(CpuRelief())
    by.device.cupy.fail_copies = error
    with caplog.at_level(logging.WARNING):
        for patch, plain in zip(surface.patches, expected.patches, strict=True):
            assert np.array_equal(patch.height_m, plain.height_m)
    assert by.device.fallbacks == len(surface.patches)
    assert "CPU" in caplog.text


def test_ranges_that_the_gpu_fails_are_cast_by_the_cpu() -> None:
    by = tracer(fail_next=None)
    surface = surface_of(by.relief)
    origin = surface.frame @ seen("straight down")[0].position_m
    rays = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    expected = CpuRelief().ranges_m(surface.patches, origin, rays)
    by.device.cupy.fail_next = OutOfMemoryError("out of memory")
    assert by.device.fallbacks == 0
    ours = by.relief.ranges_m(surface.patches, origin, rays)
    assert by.device.fallbacks == 1
    np.testing.assert_array_equal(ours, expected)
