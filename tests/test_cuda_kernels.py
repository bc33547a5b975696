"""Every CUDA kernel, executed on the CPU from its own source, agrees with the CPU backend.

The whole CUDA backend runs here, over a stand-in for CuPy whose kernels run in the host shim: under
AddressSanitizer, with NaN in unset shared memory, in several orders of threads and blocks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.cuda_scenes import (
    above,
    all_round,
    frame_from_above,
    random_searches,
    rough_surface,
    searches_of,
)
from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy
from tests.test_backend_raycast import fan, surface_of
from tests.test_correlate import shifted, texture
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import HIT, HOLE, OUTSIDE, SKY, Hits, Peaks, Searches, Surface
from trn.camera import Camera
from trn.localizer import Localizer
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up
from trn.prior import Prior

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

SCORE = 5e-6
"""Of zero-mean NCC: float sums; kernel and OpenCV are each within 1.5e-6 of the definition."""
PLACE_PX = 5e-5
"""Of a sub-pixel peak: what SCORE does to the vertex of a paraboloid of ordinary curvature."""
CURVATURE = 1e-5
RANGE_M = 1e-6
"""Doubles at a lunar radius are good to 2e-10 m; a grazing ray multiplies that."""
RADIANCE = 1e-6
CPU = CpuBackend()
PLAIN = Camera(80, 60, 70.0, 71.0, 39.0, 30.5)
LENSES = {
    "none": (0.0, 0.0, 0.0, 0.0, 0.0),
    "barrel": (-0.3, 0.09, 0.001, -0.002, -0.01),
    "pincushion": (0.4, 0.1, 0.01, 0.01, 0.0),
    "folding": (-1.2, 0.0, 0.0, 0.0, 0.0),
}


def backend(order: int = 0) -> CudaBackend:
    return CudaBackend(FakeCupy(order), strict=True)


def found_by_both(
    image: NDArray[np.float32],
    predicted: NDArray[np.float32],
    searches: Searches,
    order: int = 0,
) -> tuple[Peaks, Peaks]:
    """Peaks of the kernel and of the CPU."""
    image.setflags(write=False)
    predicted.setflags(write=False)
    cuda = backend(order)
    ours = cuda.correlate(cuda.load_image(image), cuda.load_image(predicted), searches)
    return ours, CPU.correlate(image, predicted, searches)


def assert_same_peaks(ours: Peaks, theirs: Peaks) -> None:
    assert np.abs(ours.score - theirs.score).max() < SCORE
    assert np.abs(ours.second_score - theirs.second_score).max() < SCORE
    assert (ours.inside == theirs.inside).all()
    assert np.abs(ours.x - theirs.x).max() < PLACE_PX
    assert np.abs(ours.y - theirs.y).max() < PLACE_PX
    assert np.abs(ours.curvature - theirs.curvature).max() < CURVATURE


@pytest.mark.parametrize("size_px", [3, 8, 21, 41])
def test_peaks_in_windows_of_unequal_size(size_px: int) -> None:
    predicted = texture(size_px, 140)
    image = shifted(predicted, 2.3, -1.4)
    ours, theirs = found_by_both(image, predicted, random_searches(size_px, 12, size_px, 140, 50))
    assert_same_peaks(ours, theirs)
    assert theirs.inside.sum() > 6


@pytest.mark.parametrize("order", [1, 2, 3])
def test_peaks_do_not_depend_on_the_order_of_threads_and_blocks(order: int) -> None:
    # White noise: what stands beside a peak is nothing like it.
    predicted = image = np.random.default_rng(5).normal(size=(100, 100)).astype(np.float32)
    searches = random_searches(5, 12, 11, 100, 50)
    straight, _ = found_by_both(image, predicted, searches)
    mixed, _ = found_by_both(image, predicted, searches, order)
    for name in ("x", "y", "score", "second_score", "curvature", "inside"):
        assert np.array_equal(getattr(straight, name), getattr(mixed, name))


def test_a_single_template_in_every_corner_and_in_windows_of_one_placement() -> None:
    image = texture(6, 64)
    corners = [(25, 27, x, y, 33, 31) for x in (0, 21) for y in (0, 23)]
    tiny = [(20, 20, 19, 19, 3, 3), (20, 20, 20, 20, 1, 1), (20, 20, 18, 20, 5, 1)]
    for place in (*corners, *tiny):
        assert_same_peaks(*found_by_both(image, image, searches_of(11, [place])))


def test_unpredictable_pixels_take_the_templates_mean() -> None:
    image = texture(7, 90)
    predicted = image.copy()
    predicted[30:36, 28:41] = np.nan
    predicted[50:80, 50:80] = np.inf
    places = [(25, 27, 15, 17, 24, 22), (45, 44, 40, 40, 12, 12), (55, 55, 40, 40, 20, 20)]
    assert_same_peaks(*found_by_both(image, predicted, searches_of(13, places)))


def test_a_flat_template_is_never_accepted() -> None:
    image = texture(8, 60)
    predicted = np.full((60, 60), np.float32(1 / 3))
    ours, theirs = found_by_both(image, predicted, searches_of(9, [(20, 20, 10, 10, 20, 20)]))
    assert_same_peaks(ours, theirs)
    assert ours.score[0] - ours.second_score[0] == 0.0


def test_of_peaks_exactly_as_high_the_first_one_counts() -> None:
    image = texture(13, 60)
    image[18:27, 7:16] = image[6:15, 16:25]
    # Placements 41 and 392 of the window: the later one is with a thread that comes earlier.
    cuda = backend()
    handle = cuda.load_image(image)
    found = cuda.correlate(handle, handle, searches_of(9, [(16, 6, 5, 5, 30, 30)]))
    assert found.second_score[0] == pytest.approx(1.0, abs=SCORE)
    assert found.x[0] == pytest.approx(16, abs=0.2)
    assert found.y[0] == pytest.approx(6, abs=0.2)


def test_flat_windows_tell_nothing() -> None:
    image = texture(9, 90)
    image[20:60, 15:50] = 0.1
    predicted = texture(9, 90)
    places = [(60, 30, 10, 10, 60, 60), (25, 30, 22, 24, 10, 12), (60, 30, 45, 20, 30, 20)]
    assert_same_peaks(*found_by_both(image, predicted, searches_of(11, places)))


def test_a_bright_frame_of_faint_contrast_keeps_its_scores() -> None:
    predicted = texture(10, 90)
    image = (1000.0 + 5.0 * shifted(predicted, 1.2, 2.1)).astype(np.float32)
    ours, theirs = found_by_both(image, predicted, random_searches(10, 6, 21, 90, 40))
    # The frame itself is rounded to 6e-5, OpenCV's float template sums to about as much.
    assert np.abs(ours.score - theirs.score).max() < 5e-5
    assert np.abs(ours.x - theirs.x)[theirs.inside].max() < 5e-3


def test_only_the_windows_that_hold_a_lost_pixel_lose_their_score() -> None:
    image = texture(11, 60)
    predicted = image.copy()
    image[40, 40] = np.nan
    searches = searches_of(9, [(20, 20, 5, 5, 40, 40), (38, 38, 33, 33, 7, 7)])
    cuda = backend()
    found = cuda.correlate(cuda.load_image(image), cuda.load_image(predicted), searches)
    assert found.score[0] > 0.999
    assert found.x[0] == pytest.approx(20, abs=0.05)  # what the paraboloid misses
    assert found.score[1] == 0.0


def test_a_search_beyond_its_image_is_refused() -> None:
    image = texture(12, 40)
    cuda = backend()
    handle = cuda.load_image(image)
    for place in [
        (0, 0, 20, 0, 20, 5),
        (35, 0, 0, 0, 5, 5),
        (0, 0, -1, 0, 5, 5),
        (0, 0, 0, 0, 0, 5),
    ]:
        with pytest.raises(ValueError, match="beyond its image"):
            cuda.correlate(handle, handle, searches_of(9, [place]))


def test_no_searches_and_no_rays_give_empty_results() -> None:
    cuda = backend()
    handle = cuda.load_image(texture(12, 40))
    assert cuda.correlate(handle, handle, searches_of(9, [])).x.shape == (0,)
    surface = rough_surface(1)
    loaded = cuda.load_surface(surface)
    hits = cuda.ray_cast(loaded, above(1e4), np.zeros((0, 3)))
    sun = np.array([0.0, 0.0, 1.0])
    lit = np.ones(surface.heights_m.shape, dtype=np.float32)
    assert cuda.shade(loaded, lit, hits, above(1e4), sun)[0].shape == (0,)


def hits_of_both(
    surface: Surface, origin: NDArray[np.float64], rays: NDArray[np.float64], order: int = 0
) -> tuple[Hits, Hits]:
    cuda = backend(order)
    ours = cuda.ray_cast(cuda.load_surface(surface), origin, rays)
    return ours, CPU.ray_cast(CPU.load_surface(surface), origin, rays)


def assert_same_hits(ours: Hits, theirs: Hits) -> None:
    assert (ours.state == theirs.state).all()
    for name, tolerance in (("range_m", RANGE_M), ("column", 1e-8), ("row", 1e-8)):
        difference = np.abs(getattr(ours, name) - getattr(theirs, name))
        assert np.array_equal(np.isnan(difference), theirs.state != HIT)
        assert np.nanmax(difference, initial=0.0) < tolerance


@pytest.mark.parametrize("tilt_deg", [0.0, 60.0, 85.0, 89.5])
def test_rays_hit_where_the_cpus_do(tilt_deg: float) -> None:
    surface = rough_surface(int(tilt_deg))
    ours, theirs = hits_of_both(surface, above(9_000.0), fan(np.deg2rad(tilt_deg), 3_000, 1))
    assert_same_hits(ours, theirs)


@pytest.mark.parametrize("shape", [(160, 160), (2, 2), (2, 31), (17, 3)])
def test_rays_of_every_state_over_grids_of_every_shape(shape: tuple[int, int]) -> None:
    surface = (
        rough_surface(3)
        if min(shape) > 20
        else surface_of(rough_surface(3).heights_m[: shape[0], : shape[1]])
    )
    rays = all_round(4, 3_000)
    rays[::50] = np.nan
    for altitude_m in (500.0, 30_000.0, 5e6, -2_000.0):
        ours, theirs = hits_of_both(surface, above(altitude_m), rays, order=1)
        assert_same_hits(ours, theirs)
        if altitude_m == 30_000.0 and min(shape) > 20:
            assert set(theirs.state) == {HIT, SKY, OUTSIDE, HOLE}


@pytest.mark.parametrize("lens", LENSES)
def test_rays_of_a_view_are_made_on_the_device(lens: str) -> None:
    """Not one byte of them is uploaded; the lens's distortion is undone there as on the CPU."""
    surface = rough_surface(8)
    camera = Camera(70, 45, 40.0, 41.0, 30.2, 23.1, LENSES[lens])
    turn = Rotation.from_euler("xyz", [170.0, 12.0, 33.0], degrees=True).as_matrix()
    cuda = backend()
    loaded = cuda.load_surface(surface)
    loaded.arrays(cuda.device.cupy)
    before = cuda.device.cupy.uploads
    ours = cuda.ray_cast_view(loaded, above(15_000.0), camera, turn)
    assert cuda.device.cupy.uploads == before
    theirs = CPU.ray_cast_view(CPU.load_surface(surface), above(15_000.0), camera, turn)
    assert_same_hits(ours, theirs)
    assert (theirs.state == HIT).sum() > 500
    lost = np.isnan(camera.pixels_to_rays(np.array([0.0, 0.0]))).all()
    assert lost == (lens == "folding")
    if lost:
        assert theirs.state[0] == SKY


def test_hits_cannot_change_on_one_side_only() -> None:
    cuda = backend()
    hits = cuda.ray_cast(cuda.load_surface(rough_surface(1)), above(1e4), fan(0.2, 50, 1))
    with pytest.raises(ValueError, match="read-only"):
        hits.state[0] = SKY


def test_a_cell_with_one_corner_in_a_hole_has_no_data() -> None:
    surface = surface_of(np.zeros((160, 160)))
    surface.hole[80, 80] = True
    beside = surface.x0 + (np.arange(77, 84) + 0.5) * surface.step
    x, y = (grid.ravel() for grid in np.meshgrid(beside, beside))
    origin = above(10_000.0)
    rays = REFERENCE_RADIUS_M * np.stack([x, y, np.ones_like(x)], axis=-1) - origin
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    ours, theirs = hits_of_both(surface, origin, rays)
    assert_same_hits(ours, theirs)
    assert (theirs.state == HOLE).sum() == 4


def test_rays_along_the_axes_and_from_an_origin_each() -> None:
    surface = rough_surface(5)
    rays = np.array(
        [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.6, -0.8]]
    )
    assert_same_hits(*hits_of_both(surface, above(3_000.0), rays))
    origins = above(3_000.0) + np.random.default_rng(5).normal(0, 2_000.0, (5, 3))
    assert_same_hits(*hits_of_both(surface, origins, rays))


def test_grazing_rays_stop_at_the_same_knife_edge() -> None:
    heights = np.zeros((160, 160))
    heights[:, 100] = 800.0
    origin = np.array([-6_000.0, 0.0, REFERENCE_RADIUS_M + 790.0])
    angle = np.linspace(-0.002, 0.006, 2_000)
    rays = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=-1)
    ours, theirs = hits_of_both(surface_of(heights), origin, rays)
    assert_same_hits(ours, theirs)
    assert {HIT, OUTSIDE} <= set(theirs.state) or {HIT, SKY} <= set(theirs.state)


@pytest.mark.parametrize("elevation_deg", [-5.0, 2.0, 20.0, 90.0])
@pytest.mark.parametrize("shape", [(160, 160), (2, 2), (33, 7)])
def test_shadows_fall_on_the_same_nodes(elevation_deg: float, shape: tuple[int, int]) -> None:
    surface = surface_of(rough_surface(6).heights_m[: shape[0], : shape[1]])
    elevation = np.deg2rad(elevation_deg)
    sun = np.array([0.6 * np.cos(elevation), -0.8 * np.cos(elevation), np.sin(elevation)])
    cuda = backend()
    lit = cuda.shadow(cuda.load_surface(surface), sun)
    expected = CPU.shadow(CPU.load_surface(surface), sun)
    assert np.array_equal(lit, expected)
    if elevation_deg == 2.0 and shape == (160, 160):
        assert 0.02 < expected.mean() < 0.98


@pytest.mark.parametrize("reuse", [True, False])
def test_hits_are_as_bright_as_the_cpus(reuse: bool) -> None:
    """reuse: hits and lit fraction are those still on the device, or come from the host."""
    surface = rough_surface(7)
    sun = np.array([np.cos(0.3), 0.0, np.sin(0.3)])
    origin = above(20_000.0)
    rays = all_round(7, 4_000)
    cuda = backend()
    loaded, on_cpu = cuda.load_surface(surface), CPU.load_surface(surface)
    lit, expected_lit = cuda.shadow(loaded, sun), CPU.shadow(on_cpu, sun)
    hits, expected_hits = cuda.ray_cast(loaded, origin, rays), CPU.ray_cast(on_cpu, origin, rays)
    ours = cuda.shade(
        loaded,
        lit if reuse else expected_lit,
        hits if reuse else expected_hits,
        origin,
        sun,
    )
    theirs = CPU.shade(on_cpu, expected_lit, expected_hits, origin, sun)
    for ours_, theirs_ in zip(ours, theirs):
        assert np.array_equal(np.isnan(ours_), expected_hits.state != HIT)
        assert np.nanmax(np.abs(ours_ - theirs_)) < RADIANCE
    assert (theirs[0] == 0).any() and (theirs[0] > 0.1).any()


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("size", [(80, 60), (1, 1), (5, 1), (131, 33)])
def test_images_are_warped_alike(lens: str, size: tuple[int, int]) -> None:
    camera = Camera(*size, 75.0, 74.0, size[0] / 2, size[1] / 2, LENSES[lens])
    image = np.random.default_rng(1).normal(size=size[::-1]).astype(np.float32)
    image[size[1] // 2, size[0] // 3] = np.nan
    cuda = backend()
    ours = cuda.warp(cuda.load_image(image), camera, PLAIN)
    theirs = CPU.warp(image, camera, PLAIN)
    assert ours.shape == (60, 80)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs), initial=0.0) < 1e-6


def test_a_warp_onto_the_same_camera_gives_the_image_itself() -> None:
    image = np.random.default_rng(2).normal(size=(60, 80)).astype(np.float32)
    cuda = backend()
    for warped in (cuda.warp(cuda.load_image(image), PLAIN, PLAIN), CPU.warp(image, PLAIN, PLAIN)):
        seen = np.isfinite(warped)
        assert seen.mean() > 0.95
        assert np.abs(warped - image)[seen].max() < 1e-5


@pytest.mark.parametrize("warp_with", [CPU, None])
def test_a_warp_that_cannot_be_is_refused(warp_with: CpuBackend | None) -> None:
    which = warp_with or backend()
    image = which.load_image(np.zeros((60, 80), dtype=np.float32))
    bent = Camera(80, 60, 70.0, 71.0, 39.0, 30.5, LENSES["barrel"])
    with pytest.raises(ValueError, match="no distortion"):
        which.warp(image, PLAIN, bent)
    with pytest.raises(ValueError, match="is not of a"):
        which.warp(image, Camera(81, 60, 70.0, 71.0, 39.0, 30.5), PLAIN)


def test_the_whole_localizer_gives_the_same_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(128, 128, 122.5, 122.5, 63.5, 63.5)
    moon_map, truth, sun, image = frame_from_above(tmp_path, camera)
    east, _, up = east_north_up(truth.position_m)
    prior = Prior(
        truth.position_m + 300.0 * east - 200.0 * up, 400.0, truth.quaternion_xyzw, 1e-3, sun
    )
    theirs = Localizer(moon_map, camera, "cpu").locate(image, prior)
    cuda = backend()
    monkeypatch.setattr("trn.localizer.select_backend", lambda name: cuda)
    launched: list[str] = []
    launch = cuda.device.launch

    def noted(name: str, *given: object) -> None:
        launched.append(name)
        launch(name, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(cuda.device, "launch", noted)
    ours = Localizer(moon_map, camera).locate(image, prior)
    terrain = {"cut_heights", "maxima_of_nodes", "maxima_of_level", "shadow"}
    views = {"ray_cast_view", "shade", "contrast_over", "correlate", "align_equations"}
    assert terrain | views <= set(launched)
    assert (ours.status, ours.backend) == ("fix", "cuda")
    assert ours.landmarks == theirs.landmarks
    assert ours.position_m is not None and theirs.position_m is not None
    apart_m = np.linalg.norm(ours.position_m - theirs.position_m)
    assert apart_m < 0.02 * moon_map.resolution_m
