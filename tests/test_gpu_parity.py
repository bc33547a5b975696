"""On a real GPU: every operation, and whole fixes, as on the CPU. Run with make test-gpu."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cuda_scenes import above, all_round, frame_from_above, random_searches, rough_surface
from tests.test_correlate import shifted, texture
from tests.test_cuda_align import view as aligned_pair
from tests.test_cuda_terrain import PLACES, assert_same_terrain, at, cut_at, made_maps
from tests.test_detect_network import pitted
from tests.test_simulate_render import CAMERA, camera_above, hills, sun_at, terrain_of
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_usable import load_cuda_backend, usable
from trn.backend.protocol import HIT, PixelGrid
from trn.camera import Camera
from trn.detect.network import detect_craters_network
from trn.detect.network_model import open_network
from trn.localizer import Localizer
from trn.prior import Prior
from trn.simulate.render import RenderSettings, render
from trn.simulate.render_cuda import CudaTracer
from trn.simulate.terrain import ReliefSettings

pytestmark = pytest.mark.gpu

SAME_FIX_MAP_PIXELS = 0.02
CPU = CpuBackend()


@pytest.fixture
def gpu() -> Iterator[CudaBackend]:
    works, reason = usable()
    if not works:
        pytest.skip(f"no usable GPU: {reason}")
    backend = load_cuda_backend()
    yield backend
    assert backend.fallbacks == 0


@pytest.mark.parametrize("size_px", [3, 21, 41, 61])
def test_peaks(gpu: CudaBackend, size_px: int) -> None:
    predicted = texture(size_px, 400)
    image = shifted(predicted, 2.3, -1.4)
    searches = random_searches(size_px, 300, size_px, 400, 120)
    ours = gpu.correlate(gpu.load_image(image), gpu.load_image(predicted), searches)
    theirs = CPU.correlate(image, predicted, searches)
    # Two peaks that are as high within rounding may change places.
    clear = theirs.score - theirs.second_score > 1e-4
    assert clear.mean() > 0.8
    assert np.abs(ours.score - theirs.score).max() < 1e-5
    assert (ours.inside == theirs.inside)[clear].all()
    assert np.abs(ours.x - theirs.x)[clear].max() < 1e-3
    assert np.abs(ours.y - theirs.y)[clear].max() < 1e-3


@pytest.mark.parametrize("altitude_m", [500.0, 20_000.0, 5e6])
def test_terrain(gpu: CudaBackend, altitude_m: float) -> None:
    surface = rough_surface(1)
    loaded, on_cpu = gpu.load_surface(surface), CPU.load_surface(surface)
    sun = np.array([np.cos(0.2), 0.0, np.sin(0.2)])
    origin, rays = above(altitude_m), all_round(2, 300_000)
    lit, expected_lit = gpu.shadow(loaded, sun), CPU.shadow(on_cpu, sun)
    # Fused multiply-adds round differently: a ray that grazes a ridge may pass it.
    assert (lit == expected_lit).mean() > 0.9999
    hits, expected = gpu.ray_cast(loaded, origin, rays), CPU.ray_cast(on_cpu, origin, rays)
    assert (hits.state == expected.state).mean() > 0.9999
    both = (hits.state == HIT) & (expected.state == HIT)
    assert np.quantile(np.abs(hits.range_m - expected.range_m)[both], 0.9999) < 1e-4
    radiance, _ = gpu.shade(loaded, expected_lit, expected, origin, sun)
    reference, _ = CPU.shade(on_cpu, expected_lit, expected, origin, sun)
    assert np.nanmax(np.abs(radiance - reference)) < 1e-5


def test_terrain_cut_from_a_map(gpu: CudaBackend, tmp_path: Path) -> None:
    maps = made_maps(tmp_path)
    for name, *centre in PLACES.values():
        cut = cut_at(maps[name], at(*centre), pixels=100.0)
        assert cut.raster() is not None
        arrays = gpu.cut_surface(cut).arrays(gpu.device.cupy)
        assert_same_terrain(tuple(gpu.device.to_host(array) for array in arrays), cut)


def test_a_view(gpu: CudaBackend) -> None:
    surface = rough_surface(2)
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, (-0.3, 0.09, 0.001, -0.002, -0.01))
    down = np.diag([1.0, -1.0, -1.0])
    origin = above(15_000.0)
    ours = gpu.ray_cast_view(gpu.load_surface(surface), origin, camera, down)
    theirs = CPU.ray_cast_view(CPU.load_surface(surface), origin, camera, down)
    assert (ours.state == theirs.state).mean() > 0.9999
    both = (ours.state == HIT) & (theirs.state == HIT)
    assert np.quantile(np.abs(ours.range_m - theirs.range_m)[both], 0.9999) < 1e-4
    sun = np.array([np.cos(0.1), 0.0, np.sin(0.1)])
    mine, other = (
        which.predict_view(loaded, which.shadow(loaded, sun), origin, camera, down, sun)
        for which, loaded in ((gpu, gpu.load_surface(surface)), (CPU, CPU.load_surface(surface)))
    )
    sure = gpu.pixels(mine.sure)
    assert (np.isfinite(sure) == np.isfinite(other.sure)).mean() > 0.999
    assert np.nanquantile(np.abs(sure - other.sure), 0.999) < 1e-5
    assert abs(mine.shares.lit - other.shares.lit) < 1e-3


def test_images(gpu: CudaBackend) -> None:
    frame = (50.0 * (2.5 + texture(7, 1024))).clip(0.0, 255.0).astype(np.uint8)
    small = gpu.shrink(gpu.load_image(frame), 431, 390)
    expected = CPU.shrink(CPU.load_image(frame), 431, 390)
    assert np.abs(gpu.pixels(small) - expected).max() < 1e-4
    grid = PixelGrid(20, 20, 12, 29, 32)
    told, reference = gpu.information(small, 21, grid), CPU.information(expected, 21, grid)
    assert np.abs(told - reference).max() < 1e-5 * reference.max()
    other = np.roll(expected, 1, axis=0)
    alike = gpu.resemblance(small, gpu.load_image(other))
    assert abs(alike - CPU.resemblance(expected, other)) < 1e-5


def test_warp(gpu: CudaBackend) -> None:
    image = np.random.default_rng(1).normal(size=(480, 640)).astype(np.float32)
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, (-0.3, 0.09, 0.001, -0.002, -0.01))
    target = Camera(600, 500, 450.0, 450.0, 300.0, 250.0)
    ours = gpu.warp(gpu.load_image(image), camera, target)
    assert np.nanmax(np.abs(ours - CPU.warp(image, camera, target))) < 1e-5


def test_contrast_and_alignment(gpu: CudaBackend) -> None:
    image, predicted = aligned_pair(224, 224, holes=True)
    for values in (image, predicted):
        contrast = gpu.pixels(gpu.contrast(gpu.load_image(values)))
        assert np.nanmax(np.abs(contrast - CPU.contrast(values))) < 2e-4
    ours = gpu.align(gpu.load_image(image), gpu.load_image(predicted))
    theirs = CPU.align(image, predicted)
    assert ours is not None and theirs is not None
    np.testing.assert_array_equal(ours.cells, theirs.cells)
    for mine, other in ((ours.information, theirs.information), (ours.pull, theirs.pull)):
        assert np.abs(mine - other).max() < 1e-3 * np.abs(other).max()


@pytest.mark.parametrize("sun_px", [None, 0.7])
def test_craters(gpu: CudaBackend, sun_px: float | None) -> None:
    image = texture(5, 1024)
    radii = 4.0 * 2.0 ** (np.arange(15) / 3.0)
    ours = gpu.crater_response(gpu.load_image(image), radii, sun_px, 0.2)
    theirs = CPU.crater_response(image, radii, sun_px, 0.2)
    # A place that is as strong within rounding as its neighbour may lose to it.
    places = [set(zip(found.x, found.y, found.radius_px)) for found in (ours, theirs)]
    assert len(places[0] & places[1]) > 0.999 * max(map(len, places)) > 100
    score = dict(zip(zip(theirs.x, theirs.y, theirs.radius_px), theirs.score))
    for x, y, radius_px, found in zip(ours.x, ours.y, ours.radius_px, ours.score):
        assert abs(found - score.get((x, y, radius_px), found)) < 2e-5


def test_frames_of_the_simulator(gpu: CudaBackend) -> None:
    """Ground, rays, shadows and reflectance; heights are rounded where products are fused."""
    terrain = terrain_of(hills(), ReliefSettings())
    settings = RenderSettings(exact_shadows=True)
    tracer = CudaTracer(gpu.device)
    for altitude_m, tilt_deg, elevation_deg in ((20e3, 0.0, 30.0), (9e3, 50.0, 4.0)):
        pose, sun = camera_above(altitude_m, tilt_deg), sun_at(elevation_deg, 120.0)
        ours, theirs = (
            render(terrain, CAMERA, pose, sun, settings=settings, tracer=by)
            for by in (tracer, None)
        )
        for patch, expected in zip(ours.surface.patches, theirs.surface.patches, strict=True):
            assert np.abs(patch.height_m - expected.height_m).max() < 5e-3
        apart_m = np.abs(ours.depth_m - theirs.depth_m)
        assert np.nanquantile(apart_m, 0.999) < 0.05
        assert (np.abs(ours.radiance - theirs.radiance) < 1e-4).mean() > 0.995


def test_the_network_from_device_memory(gpu: CudaBackend) -> None:
    pytest.importorskip("onnxruntime")
    network = open_network(runtime="onnxruntime")
    if network.bound is None:
        pytest.skip(f"onnxruntime runs on {', '.join(network.providers)}")
    image = pitted(512, scale=2)
    ours = detect_craters_network(image)
    theirs = detect_craters_network(image, provider="CPUExecutionProvider")
    assert network.bound.fallbacks == 0
    assert len(ours) == len(theirs) > 0
    assert np.abs(ours.values[:, :4] - theirs.values[:, :4]).max() < 0.1


def test_whole_fixes(gpu: CudaBackend, tmp_path: Path) -> None:
    camera = Camera(512, 512, 490.0, 490.0, 255.5, 255.5)
    moon_map, truth, sun, image = frame_from_above(tmp_path, camera)
    on_gpu, on_cpu = Localizer(moon_map, camera, "cuda"), Localizer(moon_map, camera, "cpu")
    for seed in range(10):
        random = np.random.default_rng(seed)
        believed = truth.moved(random.normal(0, 1500.0, 3), random.normal(0, 1e-3, 3))
        prior = Prior(believed.position_m, 1500.0, believed.quaternion_xyzw, 1e-3, sun)
        ours, theirs = on_gpu.locate(image, prior), on_cpu.locate(image, prior)
        assert ours.status == theirs.status
        assert ours.backend == "cuda"
        if ours.position_m is not None and theirs.position_m is not None:
            apart_m = np.linalg.norm(ours.position_m - theirs.position_m)
            assert apart_m < SAME_FIX_MAP_PIXELS * moon_map.resolution_m
