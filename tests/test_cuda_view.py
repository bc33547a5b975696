"""A view predicted on the device is the CPU's: what is seen, what is sure, and how far it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.cuda_scenes import above, rough_surface
from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError
from tests.test_backend_raycast import surface_of
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import PixelGrid, PredictedView, Surface
from trn.camera import Camera

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

CPU = CpuBackend()
CAMERA = Camera(90, 62, 70.0, 71.0, 44.0, 30.5, (-0.1, 0.02, 0.001, 0.0, 0.0))
NADIR = (180.0, 0.0, 0.0)
OBLIQUE = (125.0, 5.0, 20.0)
GRID = PixelGrid(3, 5, 4, 14, 20)


def sun_at(elevation_deg: float) -> np.ndarray:
    elevation = np.deg2rad(elevation_deg)
    return np.array([0.6 * np.cos(elevation), 0.8 * np.cos(elevation), np.sin(elevation)])


def seen_by(
    backend: Any,
    surface: Surface,
    altitude_m: float = 15_000.0,
    euler_deg: tuple[float, float, float] = NADIR,
    elevation_deg: float = 20.0,
    camera: Camera = CAMERA,
) -> PredictedView:
    turn = Rotation.from_euler("xyz", euler_deg, degrees=True).as_matrix()
    loaded, sun = backend.load_surface(surface), sun_at(elevation_deg)
    lit = backend.shadow(loaded, sun)
    view: PredictedView = backend.predict_view(loaded, lit, above(altitude_m), camera, turn, sun)
    return view


def assert_same_view(backend: Any, ours: PredictedView, theirs: PredictedView) -> None:
    np.testing.assert_allclose(backend.pixels(ours.sure), theirs.sure, atol=1e-6)
    np.testing.assert_allclose(backend.pixels(ours.shaded), theirs.shaded, atol=1e-6)
    np.testing.assert_allclose(ours.ranges_m(GRID), theirs.ranges_m(GRID), atol=1e-6)
    assert ours.shares == theirs.shares


@pytest.mark.parametrize("euler_deg", [NADIR, OBLIQUE, (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("elevation_deg", [3.0, 50.0])
def test_rough_ground(euler_deg: tuple[float, float, float], elevation_deg: float) -> None:
    surface = rough_surface(3)
    ours = CudaBackend(FakeCupy(), strict=True)
    given = (surface, 15_000.0, euler_deg, elevation_deg)
    mine, theirs = seen_by(ours, *given), seen_by(CPU, *given)
    assert_same_view(ours, mine, theirs)
    if euler_deg == NADIR and elevation_deg == 3.0:
        edges = np.isnan(theirs.sure) & np.isfinite(theirs.shaded)
        assert edges.sum() > 100 and 0.0 < theirs.shares.lit < 1.0 and theirs.shares.no_data > 0.0
    if euler_deg == (0.0, 0.0, 0.0):
        assert theirs.shares.sky == 1.0


def test_a_ridge_hides_what_is_behind_it() -> None:
    heights = np.zeros((160, 160))
    heights[:, 90] = 1_500.0
    surface = surface_of(heights)
    ours = CudaBackend(FakeCupy(), strict=True)
    given = (surface, 4_000.0, (150.0, 30.0, 0.0), 60.0)
    mine, theirs = seen_by(ours, *given), seen_by(CPU, *given)
    assert_same_view(ours, mine, theirs)
    assert (np.isnan(theirs.sure) & np.isfinite(theirs.shaded)).sum() > 20


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (13, 2), (64, 2)])
def test_frames_of_odd_shapes(width: int, height: int) -> None:
    camera = Camera(width, height, 50.0, 50.0, (width - 1) / 2, (height - 1) / 2)
    surface = rough_surface(4)
    ours = CudaBackend(FakeCupy(), strict=True)
    mine, theirs = (seen_by(which, surface, camera=camera) for which in (ours, CPU))
    np.testing.assert_allclose(ours.pixels(mine.sure), theirs.sure, atol=1e-6)
    assert mine.shares == theirs.shares


def test_a_view_stays_on_the_device_until_it_is_asked_for() -> None:
    fake = FakeCupy()
    ours = CudaBackend(fake, strict=True)
    view = seen_by(ours, rough_surface(5))
    before = fake.downloaded_bytes
    ours.contrast(view.sure)
    assert fake.downloaded_bytes == before
    view.ranges_m(GRID)
    assert fake.downloaded_bytes - before == 8 * GRID.rows * GRID.columns


@pytest.mark.parametrize("order", [1, 2])
def test_nothing_depends_on_the_order_of_threads_and_blocks(order: int) -> None:
    surface = rough_surface(6)
    straight, mixed = (CudaBackend(FakeCupy(which), strict=True) for which in (0, order))
    one, other = seen_by(straight, surface), seen_by(mixed, surface)
    np.testing.assert_array_equal(straight.pixels(one.sure), mixed.pixels(other.sure))
    assert one.shares == other.shares


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("out of memory"), CUDARuntimeError("unspecified launch failure")]
)
@pytest.mark.parametrize("before", [True, False])
def test_a_view_that_the_device_loses_is_predicted_by_the_cpu(
    error: Exception, before: bool
) -> None:
    """Lost before or after: the same view, each call counted (light, four parts of the view)."""
    surface = rough_surface(7)
    fake = FakeCupy()
    ours = CudaBackend(fake)

    if before:
        fake.lose(error)
    view = seen_by(ours, surface)
    fake.lose(error)
    assert_same_view(ours, view, seen_by(CPU, surface))
    assert ours.fallbacks == (2 if before else 5)
