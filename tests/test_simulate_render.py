"""Rendered truth: rays end on the surface, shadows fall where geometry says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.camera_model import SensorSettings, expose, metered_exposure_s
from trn.simulate.render import RenderSettings, camera_rays, render, view_surface
from trn.simulate.surface import Surface
from trn.simulate.terrain import HeightGrid, ReliefSettings, TruthTerrain

PIXELS_PER_DEGREE = 128
CAMERA = Camera(160, 120, 150.0, 152.0, 78.0, 61.0, (-0.08, 0.02, 3e-4, -2e-4, 0.0))
QUIET = RenderSettings(albedo_contrast=1.0, albedo_texture=0.0)


def terrain_of(height: np.ndarray, relief: ReliefSettings | None = None) -> TruthTerrain:
    """Heights around latitude 40, longitude 20, centred."""
    rows, columns = height.shape
    step = 1.0 / PIXELS_PER_DEGREE
    grid = HeightGrid(
        height.astype(np.float32),
        np.ones(height.shape, bool),
        40.0 + 0.5 * (rows - 1) * step,
        20.0 - 0.5 * (columns - 1) * step,
        -step,
        step,
    )
    return TruthTerrain(grid, 7, relief or ReliefSettings(0.0, 0.0))


def hills() -> np.ndarray:
    row, column = np.mgrid[:256, :256] / 256.0
    return 900.0 * np.sin(21.0 * row + 3.0 * column) * np.cos(25.0 * column) - 1500.0


def camera_above(altitude_m: float, tilt_deg: float, heading_deg: float = 0.0) -> Pose:
    position = position_from_geographic(math.radians(40.0), math.radians(20.0), altitude_m)
    east, north, up = east_north_up(position)
    down = Rotation.from_matrix(np.stack([east, -north, -up]))
    turn = Rotation.from_euler("z", heading_deg, degrees=True)
    tilt = Rotation.from_euler("x", -tilt_deg, degrees=True)
    return Pose(position, (tilt * turn * down).as_quat())


def sun_at(elevation_deg: float, azimuth_deg: float) -> np.ndarray:
    east, north, up = east_north_up(
        position_from_geographic(math.radians(40.0), math.radians(20.0), 0.0)
    )
    e, a = math.radians(elevation_deg), math.radians(azimuth_deg)
    return math.cos(e) * (math.sin(a) * east + math.cos(a) * north) + math.sin(e) * up


def first_crossing_m(
    ground: Surface, origin: np.ndarray, ray: np.ndarray, farthest_m: float
) -> float:
    """Brute force: the first of many small steps that is under the surface, then bisection."""
    t = np.arange(0.0, farthest_m, 2.0)
    points = origin + t[:, None] * ray
    over = np.linalg.norm(points, axis=1) - REFERENCE_RADIUS_M - ground.height_at(points)
    under = np.flatnonzero(over <= 0.0)
    if under.size == 0:
        return math.nan
    low, high = t[under[0] - 1], t[under[0]]
    for _ in range(30):
        middle = 0.5 * (low + high)
        point = origin + middle * ray
        if np.linalg.norm(point) - REFERENCE_RADIUS_M > ground.height_at(point):
            low = middle
        else:
            high = middle
    return float(high)


@pytest.mark.parametrize(
    ("altitude", "tilt", "heading"), [(20e3, 0, 10), (30e3, 25, 200), (9e3, 68, 77)]
)
def test_rays_end_where_a_brute_force_march_ends(
    altitude: float, tilt: float, heading: float
) -> None:
    terrain = terrain_of(hills(), ReliefSettings())
    pose = camera_above(altitude, tilt, heading)
    frame = render(terrain, CAMERA, pose, sun_at(30.0, 120.0))
    rays = camera_rays(CAMERA) @ pose.rotation_body_to_camera()
    rng = np.random.default_rng(0)
    for row, column in zip(rng.integers(0, 120, 60), rng.integers(0, 160, 60), strict=True):
        depth = float(frame.depth_m[row, column])
        expected = first_crossing_m(
            frame.surface, pose.position_m, rays[row, column], depth + 50.0 if depth > 0 else 250e3
        )
        assert depth == pytest.approx(expected, abs=0.05, nan_ok=True)


def test_hits_lie_on_the_surface_and_project_back_to_their_pixels() -> None:
    pose = camera_above(25e3, 30.0, 45.0)
    frame = render(terrain_of(hills(), ReliefSettings()), CAMERA, pose, sun_at(30.0, 120.0))
    rays = camera_rays(CAMERA) @ pose.rotation_body_to_camera()
    points = pose.position_m + frame.depth_m[..., None].astype(np.float64) * rays
    above = np.linalg.norm(points, axis=-1) - REFERENCE_RADIUS_M - frame.surface.height_at(points)
    assert np.abs(above).max() < 0.02
    column, row = np.meshgrid(np.arange(160), np.arange(120))
    pixels = CAMERA.project(pose.to_camera(points))
    assert np.abs(pixels - np.stack([column, row], axis=-1)).max() < 0.02


def test_a_sphere_is_seen_up_to_its_limb() -> None:
    pose = camera_above(100e3, 70.0)
    frame = render(terrain_of(np.zeros((256, 256))), CAMERA, pose, sun_at(40.0, 180.0))
    rays = camera_rays(CAMERA) @ pose.rotation_body_to_camera()
    cosine = -(rays @ pose.position_m) / np.linalg.norm(pose.position_m)
    off_nadir = np.arccos(cosine)
    limb = math.asin(REFERENCE_RADIUS_M / np.linalg.norm(pose.position_m))
    sky = np.isnan(frame.depth_m)
    assert 0.1 < sky.mean() < 0.9
    clear = np.abs(off_nadir - limb) > 1e-4
    assert np.array_equal(sky[clear], (off_nadir > limb)[clear])
    assert frame.radiance[sky].max() == 0.0
    # Exact range to a sphere, from the law of cosines.
    r, b = np.linalg.norm(pose.position_m), np.linalg.norm(pose.position_m) * cosine
    inside = np.maximum(REFERENCE_RADIUS_M**2 - r**2 + b**2, 0.0)
    assert np.abs((b - np.sqrt(inside) - frame.depth_m)[off_nadir < limb - 0.02]).max() < 0.1


def test_a_ridge_throws_its_shadow_to_the_side_away_from_the_sun() -> None:
    height = np.zeros((256, 256))
    height[:, 128:130] = 1000.0
    pose = camera_above(40e3, 0.0)
    settings = dataclasses.replace(QUIET, spacing_px=0.3)
    frame = render(terrain_of(height), CAMERA, pose, sun_at(20.0, 90.0), settings=settings)
    rays = camera_rays(CAMERA) @ pose.rotation_body_to_camera()
    points = pose.position_m + frame.depth_m[..., None] * rays
    east_m = (points @ east_north_up(pose.position_m)[0])[60]
    dark = frame.radiance[60] < 0.1 * np.median(frame.radiance[60])
    ridge_m = 0.5 * REFERENCE_RADIUS_M * math.radians(1 / 128) * math.cos(math.radians(40.0))
    # The Sun stands in the east: dark ground lies west of the ridge, 1000 m / tan 20 deg long.
    assert east_m[dark].max() < 600.0
    length = ridge_m - east_m[dark].min()
    assert length == pytest.approx(1000.0 / math.tan(math.radians(20.0)), rel=0.15)


def test_the_shadows_edge_is_as_soft_as_the_sun_is_wide() -> None:
    height = np.zeros((256, 256))
    height[:, 140:] = 2500.0
    camera = Camera(400, 20, 3000.0, 3000.0, 199.5, 9.5, (0.0, 0.0, 0.0, 0.0, 0.0))
    cliff_m = (
        (139.5 - 127.5) * REFERENCE_RADIUS_M * math.radians(1 / 128) * math.cos(math.radians(40.0))
    )
    reach_m = 2500.0 / math.tan(math.radians(10.0))
    pose = camera_above(30e3, 0.0)
    east = east_north_up(pose.position_m)[0]
    pose = Pose(pose.position_m + (cliff_m - reach_m) * east, pose.quaternion_xyzw)
    frame = render(terrain_of(height), camera, pose, sun_at(10.0, 90.0), settings=QUIET)
    profile = frame.radiance.mean(axis=0) / frame.radiance.max()
    half_lit = np.flatnonzero((profile > 0.1) & (profile < 0.9))
    # Penumbra: height over tan of the elevation of the Sun's lower and upper limb.
    width_m = 2500.0 / math.tan(math.radians(9.733)) - 2500.0 / math.tan(math.radians(10.267))
    assert 0.3 * width_m < half_lit.size * 10.0 < 1.2 * width_m


def test_same_arguments_same_bytes_whatever_the_number_of_threads() -> None:
    terrain, pose = terrain_of(hills(), ReliefSettings()), camera_above(30e3, 20.0)
    sun = sun_at(20.0, 250.0)
    one = render(terrain, CAMERA, pose, sun, seed=5, settings=RenderSettings(workers=1))
    many = render(terrain, CAMERA, pose, sun, seed=5, settings=RenderSettings(workers=3))
    assert np.array_equal(one.image, many.image)
    assert np.array_equal(one.depth_m, many.depth_m)
    other = render(terrain, CAMERA, pose, sun, seed=6, surface=one.surface)
    assert not np.array_equal(one.image, other.image)
    assert np.array_equal(one.radiance, other.radiance)


def test_every_patch_stays_within_its_memory() -> None:
    settings = RenderSettings(max_samples=200_000)
    pose, sun = camera_above(20e3, 60.0), sun_at(5.0, 10.0)
    surface = view_surface(terrain_of(hills()), CAMERA, pose, sun, settings)
    assert max(patch.height_m.size for patch in surface.patches) < 210_000


def test_a_camera_in_the_ground_is_refused() -> None:
    with pytest.raises(InputError, match="camera"):
        render(terrain_of(hills()), CAMERA, camera_above(-5e3, 0.0), sun_at(30.0, 0.0))


def test_exposure_and_noise_are_as_set() -> None:
    flat = np.full((400, 400), 0.07, np.float32)
    settings = SensorSettings(bits=12)
    seconds = metered_exposure_s(flat, settings)
    image = expose(flat, seconds, settings, np.random.default_rng(1))
    assert image.dtype == np.uint16
    assert image.mean() / 4095 == pytest.approx(0.6, abs=0.002)
    assert image.mean() / image.std() == pytest.approx(100.0, rel=0.05)
    without_hot_pixels = SensorSettings(hot_pixels=0.0)
    dark = expose(flat * 0, 0.02, without_hot_pixels, np.random.default_rng(1))
    assert dark.dtype == np.uint8 and dark.max() <= 1
