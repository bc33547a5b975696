"""Terrain cut on the device, executed on the CPU, is the terrain that the host cuts."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cuda_scenes import above, all_round, frame_from_above, heights_of_part
from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import CUDADriverError, FakeCupy, OutOfMemoryError
from tests.maps_products import GEOGRAPHIC, NORTH_POLAR, write_raster, write_terrain
from tests.test_backend_raycast import fan, rough
from trn.backend.cpu import CpuBackend
from trn.backend.cpu_raycast import pack_pyramid
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_surfaces import Residents
from trn.backend.cuda_terrain import TerrainCutter, pyramid_shapes
from trn.backend.protocol import HOLE, PixelGrid, TerrainCut
from trn.backend.terrain_cut import GnomonicGrid, RasterPart, RasterWindow
from trn.camera import Camera
from trn.fix import PositionFix
from trn.localizer import Localizer
from trn.maps import LunarMap, build_map
from trn.maps import raster as raster_module
from trn.maps.tile import max_pyramid, terrain_cut
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.prior import Prior
from trn.view import TerrainCache, View, predict

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

HEIGHT_M = 1e-3
"""Rounding of a float at the Moon's highest is 5e-4; angles differ in their last bits as well."""
SOUTH_POLAR = "IAU_2015:30135"
KINDS = {"geographic": 0, "north polar": 1, "south polar": 2}
MIDDLES = {
    "geographic": np.array([-1.0, 0.0, 0.0]),
    "north polar": np.array([0.0, 0.0, 1.0]),
    "south polar": np.array([0.0, 0.0, -1.0]),
}
LOW_SUN = np.array([np.cos(0.01), 0.0, np.sin(0.01)])
ROOM = Residents(1 << 30)
CPU = CpuBackend()

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def at(latitude_deg: float, longitude_deg: float) -> Float64:
    return position_from_geographic(np.deg2rad(latitude_deg), np.deg2rad(longitude_deg), 0.0)


def made_maps(folder: Path) -> dict[str, LunarMap]:
    """A region across longitude 180, one around each pole, and the whole Moon."""
    products = {
        "region": ((901, 1003), (172.0, 7.0), 0.01, GEOGRAPHIC),
        "north": ((801, 1001), (-500e3, 400e3), 1000.0, NORTH_POLAR),
        "south": ((801, 1001), (-500e3, 400e3), 1000.0, SOUTH_POLAR),
        "moon": ((720, 1440), (-180.0, 90.0), 0.25, GEOGRAPHIC),
    }
    return {
        name: build_map([write_terrain(folder / f"{name}.tif", *given)], folder / f"{name}.map")
        for name, given in products.items()
    }


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LunarMap]:
    return made_maps(tmp_path_factory.mktemp("cut"))


PLACES: dict[str, tuple[str, float, float]] = {
    "plain": ("region", 3.2, 176.0),
    "across longitude 180": ("region", 2.0, 179.9),
    "beyond longitude 180": ("region", 2.0, -178.7),
    "at the north pole": ("north", 89.9, 20.0),
    "by the north pole": ("north", 83.0, -170.0),
    "at the south pole": ("south", -89.9, 140.0),
    "by the south pole": ("south", -81.0, 60.0),
    "over the seam": ("moon", -20.0, 180.0),
    "beside the seam": ("moon", 30.0, -175.0),
    "near the pole of a geographic map": ("moon", 84.0, 100.0),
}


def cut_at(
    moon_map: LunarMap, centre: Float64, pixels: float = 26.0, spacing: float = 1.0
) -> TerrainCut:
    """Terrain of so many of the map's pixels to each side, an odd number of nodes."""
    reach = pixels * moon_map.resolution_m / REFERENCE_RADIUS_M
    bounds = (-reach, 1.1 * reach, -0.7 * reach, 0.8 * reach)
    return terrain_cut(moon_map, centre, bounds, spacing * moon_map.resolution_m)


def backend(order: int = 0) -> CudaBackend:
    return CudaBackend(FakeCupy(order), strict=True)


def assert_same_terrain(arrays: tuple[Any, ...], cut: TerrainCut) -> None:
    heights, hole, maxima, shapes = arrays
    expected = cut.on_host()
    assert np.abs(heights - expected.heights_m).max() < HEIGHT_M
    assert np.array_equal(hole, expected.hole)
    own_maxima, own_shapes = pack_pyramid(max_pyramid(heights))
    assert np.array_equal(maxima, own_maxima)
    assert np.array_equal(shapes, own_shapes)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spacing", [0.5, 2.9])
def test_terrain_is_cut_as_on_the_host(
    maps: dict[str, LunarMap], place: str, spacing: float
) -> None:
    name, latitude_deg, longitude_deg = PLACES[place]
    cut = cut_at(maps[name], at(latitude_deg, longitude_deg), spacing=spacing)
    cuda = backend()
    cupy = cuda.device.cupy
    surface = cuda.cut_surface(cut)
    assert cupy.launches >= 2
    assert cupy.downloaded_bytes == 4
    assert_same_terrain(surface.arrays(cupy), cut)


def test_only_the_maps_pixels_are_uploaded_and_once(maps: dict[str, LunarMap]) -> None:
    """A second place in the same window takes the pyramid's shapes to the device, and no more."""
    cuda = backend()
    cupy = cuda.device.cupy
    first = cut_at(maps["region"], at(3.2, 176.0))
    cuda.cut_surface(first)
    part = first.raster()
    assert part is not None
    before = cupy.uploaded_bytes
    assert before < part.window.values.nbytes + 1000
    cuda.cut_surface(cut_at(maps["region"], at(3.3, 176.1)))
    assert cupy.uploaded_bytes - before < 1000


@pytest.mark.parametrize("order", [1, 2])
def test_nothing_depends_on_the_order_of_threads_and_blocks(
    maps: dict[str, LunarMap], order: int
) -> None:
    cut = cut_at(maps["north"], at(89.0, 20.0), pixels=60.0)
    straight, mixed = (each.cut_surface(cut) for each in (backend(), backend(order)))
    for one, other in zip(straight.arrays(None), mixed.arrays(None)):
        np.testing.assert_array_equal(one, other)


@dataclass(frozen=True)
class Sample:
    """A raster of 40 x 50 pixels and nodes on it, around (0, 180) or a pole; in pixels."""

    kind: str
    spacing: float = 0.8
    shift: float = 0.37
    nodes: tuple[int, int] = (70, 90)
    first: tuple[int, int] = (0, 0)
    turns: int = 0
    limits: tuple[float, float, float, float] | None = None
    holes: int = 0
    no_data: float = np.nan

    def grid(self) -> GnomonicGrid:
        rows, columns = self.nodes
        return GnomonicGrid(
            east_north_up(MIDDLES[self.kind]),
            -(columns // 2),
            -(rows // 2),
            self.spacing * PIXEL_RAD,
            rows,
            columns,
            REFERENCE_RADIUS_M,
        )

    def part(self) -> RasterPart:
        random = np.random.default_rng(self.holes)
        values = random.normal(0.0, 1000.0, (40, 50)).astype(np.float32)
        for row, column in random.integers(0, (40, 50), (self.holes, 2)):
            values[row, column] = self.no_data
        # The grid's middle is the centre of pixel (20, 25), plus the shift, of the first turn.
        if self.kind == "geographic":
            pixel, centre = np.degrees(PIXEL_RAD), np.pi + 2.0 * np.pi * self.turns
            x = 180.0 + 360.0 * self.turns
        else:
            pixel, centre, x = PIXEL_RAD * REFERENCE_RADIUS_M, 0.0, 0.0
        left = x - (25.5 + self.first[1] + self.shift) * pixel
        top = (20.5 + self.first[0] + self.shift) * pixel
        limits = self.limits or (
            self.first[0] - 0.5, self.first[0] + 39.5, self.first[1] - 0.5, self.first[1] + 49.5,
        )  # fmt: skip
        return RasterPart(
            KINDS[self.kind],
            np.array([left, top, pixel, pixel, REFERENCE_RADIUS_M, centre]),
            # Its own first column is one of the first turn: the part's counts.
            RasterWindow(self.first[0], -7, values),
            self.first[1],
            np.array(limits),
        )

    def on_device(self, order: int = 0) -> Float32:
        heights, hole, _, _ = cutter(order).sampled(self.grid(), self.part(), ROOM)
        assert np.array_equal(hole, np.isnan(heights))
        return np.asarray(heights)

    def on_host(self) -> Float32:
        return heights_of_part(self.grid(), self.part())


PIXEL_RAD = 1e-6
"""So small that the plane hardly bends: nodes stand where one wants them, to 1e-9 pixel."""


def cutter(order: int = 0) -> TerrainCutter:
    return backend(order)._cutter


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"shift": 0.1, "holes": 60},
        {"first": (512, 768)},
        {"limits": (0.9, 36.0, 3.0, 40.25)},
        {"spacing": 0.25, "shift": 0.0},
        {"nodes": (2, 2)},
        {"nodes": (2, 31)},
        {"nodes": (35, 3), "holes": 60},
        {"spacing": 40.0},
    ],
    ids=str,
)
def test_every_node_has_the_height_or_the_hole_of_the_host(
    kind: str, changed: dict[str, Any]
) -> None:
    """Inside, in the outermost half pixel, next to holes, and outside the limits."""
    sample = Sample(kind, **changed)
    ours, theirs = sample.on_device(), sample.on_host()
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs)) < HEIGHT_M
    if sample.nodes == (70, 90) and sample.spacing > 0.5:
        assert np.isnan(theirs).any()


def test_a_height_that_is_not_finite_is_none() -> None:
    sample = Sample("north polar", holes=60, no_data=-np.inf)
    np.testing.assert_array_equal(np.isnan(sample.on_device()), ~np.isfinite(sample.on_host()))


@pytest.mark.parametrize("turns", [-1, 1])
def test_columns_count_on_around_the_moon(turns: int) -> None:
    here, around = Sample("geographic"), Sample("geographic", turns=turns)
    np.testing.assert_array_equal(np.isnan(here.on_device()), np.isnan(around.on_device()))
    assert np.nanmax(np.abs(around.on_device() - around.on_host())) < HEIGHT_M


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside", [-1.2e-6, -0.8e-6, 0.0, 0.8e-6, 1.2e-6])
def test_a_place_at_a_pixels_centre_is_the_centre(kind: str, beside: float) -> None:
    """Within a millionth of a pixel no height changes, nor does a neighbouring hole count."""
    sample = Sample(kind, spacing=1.0, shift=beside, nodes=(9, 9), holes=400)
    ours, theirs = sample.on_device(), sample.on_host()
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    pixels = sample.part().window.values
    found = ours[np.isfinite(ours)]
    assert (abs(beside) < 1e-6) == bool(np.isin(found, pixels).all())
    assert 20 < found.size < ours.size


@pytest.mark.parametrize(
    "shape", [(2, 2), (3, 2), (2, 70), (33, 33), (34, 65), (65, 34), (97, 130), (1100, 3)]
)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_pyramid_is_the_maximum_of_its_nodes(shape: tuple[int, int], order: int) -> None:
    heights = np.random.default_rng(1).normal(0.0, 3000.0, shape).astype(np.float32)
    maxima, shapes = cutter(order).pyramid(heights)
    expected, expected_shapes = pack_pyramid(max_pyramid(heights))
    assert np.array_equal(maxima, expected)
    assert np.array_equal(shapes, expected_shapes)
    assert np.array_equal(pyramid_shapes(*shape), expected_shapes)


@pytest.mark.parametrize("node", [(0, 0), (39, 69), (39, 0), (17, 32), (32, 31)])
def test_one_missing_height_is_missing_at_the_top_of_the_pyramid(node: tuple[int, int]) -> None:
    heights = np.zeros((40, 70), np.float32)
    heights[node] = np.nan
    maxima, _ = cutter().pyramid(heights)
    expected, _ = pack_pyramid(max_pyramid(heights))
    np.testing.assert_array_equal(maxima, expected)
    assert np.isnan(maxima[-1])


@pytest.fixture(scope="module")
def holed_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    folder = tmp_path_factory.mktemp("holed")
    heights = np.zeros((300, 300), np.float32)
    heights[:160, :160] = rough(2)
    heights[70:75, 80:84] = -9999.0
    product = write_raster(folder / "h.tif", heights, (10.0, 12.0), (0.01, 0.01), nodata=-9999.0)
    return build_map([product], folder / "h.map")


HOST_CUTS: dict[str, Callable[[LunarMap, LunarMap], TerrainCut]] = {
    "a hole": lambda holed, moon: cut_at(holed, at(11.3, 10.8)),
    "the edge of the map": lambda holed, moon: cut_at(holed, at(11.9, 10.8)),
    "off the map": lambda holed, moon: cut_at(holed, at(41.0, 10.8)),
    "the pole of a geographic map": lambda holed, moon: cut_at(moon, at(89.5, 30.0)),
}


@pytest.mark.parametrize("why", HOST_CUTS)
def test_terrain_with_a_node_that_has_no_height_is_cut_on_the_host(
    holed_map: LunarMap, maps: dict[str, LunarMap], why: str
) -> None:
    cut = HOST_CUTS[why](holed_map, maps["moon"])
    cuda = backend()
    surface = cuda.cut_surface(cut)
    heights, hole, maxima, _ = surface.arrays(cuda.device.cupy)
    expected = cut.on_host()
    np.testing.assert_array_equal(heights, expected.heights_m)
    np.testing.assert_array_equal(hole, expected.hole)
    np.testing.assert_array_equal(maxima, pack_pyramid(expected.maxima)[0])
    assert cuda.fallbacks == 0
    # Where the hole shows only on the device, it has been there.
    assert (cuda.device.cupy.launches > 0) == (why in {"a hole", "the pole of a geographic map"})


def test_rays_into_a_hole_say_so(holed_map: LunarMap) -> None:
    cut = cut_at(holed_map, at(11.3, 10.8))
    cuda = backend()
    origin, rays = above(20_000.0), all_round(1, 3000)
    ours = cuda.ray_cast(cuda.cut_surface(cut), origin, rays)
    theirs = CPU.ray_cast(CPU.cut_surface(cut), origin, rays)
    np.testing.assert_array_equal(ours.state, theirs.state)
    assert (theirs.state == HOLE).any()


def test_what_one_window_does_not_hold_is_cut_on_the_host(
    maps: dict[str, LunarMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = cut_at(maps["region"], at(3.2, 176.0))
    expected = cut.on_host()
    monkeypatch.setattr(raster_module, "MAX_WINDOW_PIXELS", 1000)
    cuda = backend()
    surface = cuda.cut_surface(cut)
    assert cuda.device.cupy.launches == 0
    np.testing.assert_array_equal(surface.on_host().heights_m, expected.heights_m)


def test_windows_and_surfaces_stay_within_one_bound(maps: dict[str, LunarMap]) -> None:
    """What is unused for longest gives way, and is there again, the same, when it is used."""
    cuda = backend()
    cupy = cuda.device.cupy
    centres = {"region": at(3.2, 176.0), "north": at(89.0, 20.0), "south": at(-89.0, 20.0)}
    cuts = [cut_at(maps[name], centre, pixels=100.0) for name, centre in centres.items()]
    origin, rays = above(20_000.0), fan(0.2, 50, 1)
    parts = [part for cut in cuts if (part := cut.raster()) is not None]
    whole = cuda.cut_surface(cuts[1]).resident_bytes
    limit = max(part.window.values.nbytes for part in parts) + whole
    cuda._rays.residents = Residents(limit)
    surfaces = [cuda.cut_surface(cut) for cut in cuts]
    for _ in range(2):
        for cut, surface in zip(cuts, surfaces):
            ours = cuda.ray_cast(surface, origin, rays)
            theirs = CPU.ray_cast(CPU.cut_surface(cut), origin, rays)
            np.testing.assert_allclose(ours.range_m, theirs.range_m, atol=HEIGHT_M)
            used = [ref() for ref in cuda._rays.residents._used]
            assert sum(each.resident_bytes for each in used if each is not None) <= limit
    windows = list(cuda._cutter._windows.values())
    assert len(windows) == len(parts) == 3
    assert sum(window.resident_bytes > 0 for window in windows) < 3
    cuda._rays.residents.release_all()
    assert not any(surface.resident_bytes for surface in surfaces)
    assert_same_terrain(surfaces[1].arrays(cupy), cuts[1])


def test_a_window_leaves_the_device_with_the_host(maps: dict[str, LunarMap]) -> None:
    moon_map = LunarMap.open(maps["region"].folder)
    cuda = backend()
    surface = cuda.cut_surface(cut_at(moon_map, at(3.2, 176.0)))
    assert len(cuda._cutter._windows) == 1
    del surface, moon_map
    gc.collect()
    assert len(cuda._cutter._windows) == 0


CAMERA = Camera(96, 80, 90.0, 91.0, 47.5, 39.5)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[LunarMap, Camera, NDArray[np.generic], Prior, PositionFix]:
    """A map, a camera, its frame, a prior some hundred metres off, and the CPU's fix."""
    camera = Camera(128, 128, 122.5, 122.5, 63.5, 63.5)
    moon_map, truth, sun, image = frame_from_above(tmp_path_factory.mktemp("scene"), camera)
    east, _, up = east_north_up(truth.position_m)
    believed = truth.position_m + 300.0 * east - 200.0 * up
    prior = Prior(believed, 400.0, truth.quaternion_xyzw, 1e-3, sun)
    return moon_map, camera, image, prior, Localizer(moon_map, camera, "cpu").locate(image, prior)


def test_heights_and_light_of_a_view_never_come_to_the_host(scene: Any) -> None:
    moon_map, _, _, prior, _ = scene
    pose = prior.pose
    cuda = backend()
    cupy = cuda.device.cupy
    predictions = []
    for which in (cuda, CPU):
        cache = TerrainCache(moon_map, which)
        footprint = cache.footprint(CAMERA, pose)
        assert footprint is not None
        terrain = cache.terrain(CAMERA, footprint, 2000.0, prior.sun_direction)
        predictions.append(predict(View(which, CAMERA, terrain), pose))
    assert cupy.downloaded_bytes == 4
    ours, theirs = predictions
    shaded, radiance = (cuda.pixels(each) for each in (ours.seen.shaded, ours.radiance))
    np.testing.assert_allclose(shaded, theirs.seen.shaded, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(radiance), np.isnan(theirs.radiance))
    every = PixelGrid(0, 0, 1, CAMERA.height, CAMERA.width)
    ranges = ours.seen.ranges_m(every), theirs.seen.ranges_m(every)
    np.testing.assert_allclose(*ranges, atol=HEIGHT_M)


def test_light_is_an_array_for_who_asks_and_made_anew_where_it_gave_way(
    maps: dict[str, LunarMap],
) -> None:
    cut = cut_at(maps["region"], at(3.2, 176.0))
    sun, origin, rays = LOW_SUN.copy(), above(20_000.0), fan(0.2, 200, 1)
    cuda = backend()
    surface, on_cpu = cuda.cut_surface(cut), CPU.cut_surface(cut)
    lit, expected = cuda.shadow(surface, sun), CPU.shadow(on_cpu, sun)
    assert 0.02 < expected.mean() < 0.98
    sun[:] = 0.0, 0.0, 1.0
    cuda._rays.residents.release_all()
    before = cuda.device.cupy.downloaded_bytes
    np.testing.assert_array_equal(lit, expected)
    np.testing.assert_array_equal(np.asarray(lit), expected)
    assert cuda.device.cupy.downloaded_bytes - before == expected.nbytes
    sun[:] = LOW_SUN
    theirs = CPU.shade(on_cpu, expected, CPU.ray_cast(on_cpu, origin, rays), origin, sun)
    for _ in range(2):
        hits = cuda.ray_cast(surface, origin, rays)
        ours = cuda.shade(surface, lit, hits, origin, sun)
        for mine, other in zip(ours, theirs):
            np.testing.assert_allclose(mine, other, atol=1e-6)
        cuda._rays.residents.release_all()


def test_a_surface_goes_with_its_last_handle(maps: dict[str, LunarMap]) -> None:
    """Device memory is not held by a circle of references that waits for the collector."""
    cuda = backend()
    surface = cuda.cut_surface(cut_at(maps["region"], at(3.2, 176.0)))
    lit = cuda.shadow(surface, np.array([0.6, 0.0, 0.8]))
    gc.collect()
    gc.disable()
    try:
        del surface, lit
        held = [ref() for ref in cuda._rays.residents._used]
    finally:
        gc.enable()
    assert sum(each is not None for each in held) == 1  # the window


def failing(cupy: FakeCupy, at_allocation: int, error: Exception) -> None:
    """Make one allocation fail: counted from now on."""
    may_fail, seen = cupy._may_fail, iter(range(1_000_000))

    def fail_once() -> None:
        if next(seen) == at_allocation:
            cupy.fail_next = error
        may_fail()

    cupy._may_fail = fail_once  # type: ignore[method-assign]


@pytest.mark.parametrize("at_allocation", range(10))
def test_running_out_of_memory_anywhere_costs_no_view(
    maps: dict[str, LunarMap], at_allocation: int, caplog: pytest.LogCaptureFixture
) -> None:
    cut = cut_at(maps["region"], at(3.2, 176.0), pixels=25.0)
    sun, origin, rays = LOW_SUN, above(20_000.0), fan(0.2, 200, 1)

    def view(which: Any) -> list[Any]:
        surface = which.cut_surface(cut)
        lit = which.shadow(surface, sun)
        hits = which.ray_cast(surface, origin, rays)
        return [hits.range_m, *which.shade(surface, lit, hits, origin, sun), np.asarray(lit)]

    cuda = CudaBackend(FakeCupy())
    failing(cuda.device.cupy, at_allocation, OutOfMemoryError("Out of memory"))
    with caplog.at_level(logging.WARNING):
        for mine, other in zip(view(cuda), view(CPU)):
            np.testing.assert_allclose(mine, other, atol=HEIGHT_M)
    assert cuda.fallbacks == 1
    assert "out of memory" in caplog.text


@pytest.mark.parametrize("at_allocation", [0, 3, 6, 9, 40])
def test_a_device_lost_in_the_middle_of_a_frame_costs_no_fix(
    scene: Any, at_allocation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moon_map, camera, image, prior, theirs = scene
    cuda = CudaBackend(FakeCupy())
    monkeypatch.setattr("trn.localizer.select_backend", lambda name: cuda)
    localizer = Localizer(moon_map, camera)
    failing(cuda.device.cupy, at_allocation, CUDADriverError("CUDA_ERROR_LAUNCH_FAILED"))
    ours = localizer.locate(image, prior)
    assert cuda.fallbacks > 0
    assert (ours.status, ours.landmarks) == (theirs.status, theirs.landmarks)
    assert ours.position_m is not None and theirs.position_m is not None
    apart_m = np.linalg.norm(ours.position_m - theirs.position_m)
    assert apart_m < 0.02 * moon_map.resolution_m
