"""The CPU's rays meet the terrain where a brute-force march meets it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trn.backend.cpu import CpuBackend
from trn.backend.protocol import HIT, HOLE, OUTSIDE, SKY, Surface
from trn.maps.tile import max_pyramid
from trn.moon.constants import REFERENCE_RADIUS_M

STEP = 200.0 / REFERENCE_RADIUS_M
NODES = 160


def surface_of(heights_m: NDArray[np.float64]) -> Surface:
    heights = heights_m.astype(np.float32)
    rows, columns = heights.shape
    return Surface(
        -0.5 * (columns - 1) * STEP,
        -0.5 * (rows - 1) * STEP,
        STEP,
        REFERENCE_RADIUS_M,
        heights,
        np.zeros(heights.shape, dtype=bool),
        max_pyramid(heights),
    )


def rough(seed: int, amplitude_m: float = 400.0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=(NODES, NODES))
    smooth = np.real(
        np.fft.ifft2(
            np.fft.fft2(noise)
            * np.exp(-60.0 * np.add.outer(np.fft.fftfreq(NODES) ** 2, np.fft.fftfreq(NODES) ** 2))
        )
    )
    return np.asarray(amplitude_m * smooth / smooth.std() + 20.0 * noise)


def clearance(surface: Surface, origin: NDArray[np.float64], ray: NDArray[np.float64], t):
    """Height above the bilinear surface along a ray, NaN off the grid: written from the maths."""
    p = origin + t[:, None] * ray
    x = (p[:, 0] / p[:, 2] - surface.x0) / surface.step
    y = (p[:, 1] / p[:, 2] - surface.y0) / surface.step
    rows, columns = surface.heights_m.shape
    on = (x >= 0) & (y >= 0) & (x < columns - 1) & (y < rows - 1) & (p[:, 2] > 0)
    i, j = np.where(on, y, 0).astype(int), np.where(on, x, 0).astype(int)
    v, u = y - i, x - j
    h = surface.heights_m.astype(float)
    height = (h[i, j] * (1 - u) + h[i, j + 1] * u) * (1 - v) + (
        h[i + 1, j] * (1 - u) + h[i + 1, j + 1] * u
    ) * v
    return np.where(on, np.linalg.norm(p, axis=1) - surface.radius_m - height, np.nan)


def fan(tilt_rad: float, count: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    off = rng.uniform(-0.15, 0.15, (count, 2))
    rays = np.stack([off[:, 0], off[:, 1], -np.ones(count)], axis=-1)
    cos, sin = np.cos(tilt_rad), np.sin(tilt_rad)
    rays = rays @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    tilt_deg=st.floats(0, 88),
    altitude_m=st.floats(2_000, 60_000),
)
@example(seed=10_003, tilt_deg=0.0, altitude_m=2_000.0)
def test_hits_agree_with_a_brute_force_march(seed: int, tilt_deg: float, altitude_m: float) -> None:
    surface = surface_of(rough(seed))
    backend = CpuBackend()
    origin = np.array([0.0, 0.0, REFERENCE_RADIUS_M + altitude_m])
    rays = fan(np.deg2rad(tilt_deg), 12, seed)
    hits = backend.ray_cast(backend.load_surface(surface), origin, rays)
    t = np.arange(0.0, 120_000.0, 4.0)
    for k, ray in enumerate(rays):
        height = clearance(surface, origin, ray, t)
        off = np.flatnonzero(np.isnan(height) & (t > hits.range_m[k] + 4.0))
        below = np.flatnonzero(height <= 0.0)
        if hits.state[k] == HIT:
            assert abs(clearance(surface, origin, ray, hits.range_m[k : k + 1])[0]) < 1e-3
            before = height[t < hits.range_m[k] - 0.1]
            assert not (before <= 0.0).any()
        elif hits.state[k] == SKY:
            assert below.size == 0
        elif below.size:
            assert off.size == 0 or below[0] > np.flatnonzero(np.isnan(height))[0]


def test_grazing_rays_do_not_slip_through_a_knife_edge() -> None:
    heights = np.zeros((NODES, NODES))
    heights[:, 100] = 800.0
    surface = surface_of(heights)
    backend = CpuBackend()
    handle = backend.load_surface(surface)
    eye_height = 790.0
    origin = np.array([-6_000.0, 0.0, REFERENCE_RADIUS_M + eye_height])
    angle = np.linspace(-0.002, 0.006, 400)
    rays = np.stack([np.cos(angle), np.zeros(400), np.sin(angle)], axis=-1)
    hits = backend.ray_cast(handle, origin, rays)
    # The edge is a wedge: its nearest approach is at the apex, where a ray has X of column 100.
    apex = surface.x0 + 100 * surface.step
    t = (apex * origin[2] - origin[0]) / (rays[:, 0] - apex * rays[:, 2])
    over = np.linalg.norm(origin + t[:, None] * rays, axis=1) - REFERENCE_RADIUS_M - 800.0
    sure = np.abs(over) > 0.01
    assert (over[sure] > 0).any() and (over[sure] < 0).any()
    assert ((hits.state == HIT) == (over < 0))[sure].all()


def test_rays_past_the_limb_see_the_sky_and_rays_off_the_grid_say_so() -> None:
    surface = surface_of(rough(1))
    backend = CpuBackend()
    origin = np.array([0.0, 0.0, REFERENCE_RADIUS_M + 5_000.0])
    rays = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.01], [0.9, 0.0, -0.2], [np.nan, 0.0, 1.0]])
    rays[:3] /= np.linalg.norm(rays[:3], axis=1, keepdims=True)
    hits = backend.ray_cast(backend.load_surface(surface), origin, rays)
    assert hits.state.tolist() == [SKY, SKY, OUTSIDE, SKY]
    assert np.isnan(hits.range_m).all()


def test_a_ray_into_a_hole_has_no_range() -> None:
    surface = surface_of(np.zeros((NODES, NODES)))
    surface.hole[60:100, 60:100] = True
    backend = CpuBackend()
    origin = np.array([0.0, 0.0, REFERENCE_RADIUS_M + 20_000.0])
    rays = np.array([[0.0, 0.0, -1.0], [0.6, 0.0, -0.8]])
    hits = backend.ray_cast(backend.load_surface(surface), origin, rays)
    assert hits.state.tolist() == [HOLE, HIT]
    assert np.isnan(hits.range_m[0])


@pytest.mark.parametrize("elevation_deg", [4.0, 15.0, 40.0])
def test_a_wall_throws_a_shadow_of_the_right_length(elevation_deg: float) -> None:
    heights = np.zeros((NODES, NODES))
    heights[:, 60] = 600.0
    surface = surface_of(heights)
    backend = CpuBackend()
    elevation = np.deg2rad(elevation_deg)
    sun = np.array([-np.cos(elevation), 0.0, np.sin(elevation)])
    lit = backend.shadow(backend.load_surface(surface), sun)
    length_m = 600.0 / np.tan(elevation)
    end = 60 + length_m / 200.0
    row = lit[NODES // 2]
    assert (row[62 : min(int(end - 0.1), NODES - 1) + 1] == 0).all()
    assert (row[int(end + 1.1) :] == 1).all()
    assert (row[:59] == 1).all()


def test_flat_ground_is_as_bright_as_the_lunar_lambert_law_says() -> None:
    surface = surface_of(np.zeros((NODES, NODES)))
    backend = CpuBackend()
    handle = backend.load_surface(surface)
    origin = np.array([0.0, 0.0, REFERENCE_RADIUS_M + 20_000.0])
    sun = np.array([np.sin(0.7), 0.0, np.cos(0.7)])
    hits = backend.ray_cast(handle, origin, np.array([[0.0, 0.0, -1.0]]))
    radiance, lit = backend.shade(handle, backend.shadow(handle, sun), hits, origin, sun)
    phase = np.rad2deg(0.7)
    share = 1 - 0.019 * phase + 2.42e-4 * phase**2 - 1.46e-6 * phase**3
    expected = 2 * share * np.cos(0.7) / (1 + np.cos(0.7)) + (1 - share) * np.cos(0.7)
    assert radiance[0] == pytest.approx(expected, rel=1e-4)
    assert lit[0] == 1.0
