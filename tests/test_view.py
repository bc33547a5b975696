"""Predicted views: right geometry, a mask where nothing can be said, terrain that is kept."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.backend.cpu import CpuBackend
from trn.backend.protocol import PixelGrid
from trn.camera import Camera
from trn.maps import LunarMap
from trn.maps.build import build_map
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, geographic_from_position, position_from_geographic
from trn.moon.pose import Pose
from trn.simulate.site import synthetic_site
from trn.view import Prediction, TerrainCache, View, footprint_of, predict
from trn.view.footprint import median_range_m

CAMERA = Camera(128, 128, 120.0, 120.0, 63.5, 63.5, (-0.05, 0.01, 0.0, 0.0, 0.0))
EVERY_PIXEL = PixelGrid(0, 0, 1, CAMERA.height, CAMERA.width)


@pytest.fixture(scope="module")
def moon_map(tmp_path_factory: pytest.TempPathFactory) -> LunarMap:
    folder = tmp_path_factory.mktemp("view")
    site = synthetic_site(folder / "site.tif", seed=5, size_deg=4.0, pixels_per_degree=64)
    return build_map([site], folder / "site.map")


def pose_at(altitude_m: float, tilt_deg: float = 0.0) -> Pose:
    position = position_from_geographic(np.deg2rad(46.5), np.deg2rad(44.5), altitude_m)
    east, north, up = east_north_up(position)
    nadir = Rotation.from_matrix(np.stack([east, -north, -up]))
    turned = Rotation.from_rotvec([np.deg2rad(tilt_deg), 0.0, 0.0]) * nadir
    return Pose(position, np.asarray(turned.as_quat()))


def sun_at(pose: Pose, elevation_deg: float) -> NDArray[np.float64]:
    east, _, up = east_north_up(pose.position_m)
    elevation = np.deg2rad(elevation_deg)
    return np.asarray(np.cos(elevation) * east + np.sin(elevation) * up)


def view_from(moon_map: LunarMap, pose: Pose, elevation_deg: float = 30.0) -> Prediction:
    backend = CpuBackend()
    cache = TerrainCache(moon_map, backend)
    footprint = cache.footprint(CAMERA, pose)
    assert footprint is not None
    terrain = cache.terrain(CAMERA, footprint, 1000.0, sun_at(pose, elevation_deg))
    return predict(View(backend, CAMERA, terrain), pose)


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0, 35.0])
def test_predicted_points_lie_on_the_map_and_project_back(
    moon_map: LunarMap, tilt_deg: float
) -> None:
    pose = pose_at(40_000.0, tilt_deg)
    prediction = view_from(moon_map, pose)
    every = EVERY_PIXEL
    cells = np.flatnonzero(np.isfinite(prediction.seen.ranges_m(every)))
    assert cells.size > 1000
    points = prediction.points_m(every, cells)
    columns, rows = every.places(cells)
    pixels = CAMERA.project(pose.to_camera(points))
    assert np.abs(pixels - np.stack([columns, rows], axis=-1)).max() < 1e-6
    _, _, height = geographic_from_position(points)
    off = height - moon_map.height_at(points)
    assert np.nanpercentile(np.abs(off), 99) < 40.0
    assert abs(np.nanmedian(off)) < 2.0


def test_an_oblique_view_shows_the_limb_as_sky(moon_map: LunarMap) -> None:
    prediction = view_from(moon_map, pose_at(40_000.0, 75.0))
    assert 0.2 < prediction.shares.sky < 0.8
    assert np.isnan(prediction.radiance).any()
    horizon = np.arccos(REFERENCE_RADIUS_M / (REFERENCE_RADIUS_M + 40_000.0))
    farthest = np.sqrt((REFERENCE_RADIUS_M + 40_000.0) ** 2 - REFERENCE_RADIUS_M**2)
    assert np.nanmax(prediction.seen.ranges_m(EVERY_PIXEL)) < 1.3 * farthest + horizon


def test_shadow_edges_are_not_predicted_under_a_low_sun(moon_map: LunarMap) -> None:
    low, high = (view_from(moon_map, pose_at(40_000.0), e) for e in (6.0, 60.0))
    assert low.shares.lit < 0.99 < high.shares.lit
    assert np.isnan(low.radiance).sum() > np.isnan(high.radiance).sum()


def test_off_the_map_there_is_no_data(moon_map: LunarMap) -> None:
    prediction = view_from(moon_map, pose_at(200_000.0))
    assert prediction.shares.no_data > 0.3
    assert np.isnan(prediction.radiance).mean() >= prediction.shares.no_data


def test_terrain_is_kept_for_a_near_view_and_cut_anew_for_another_sun(moon_map: LunarMap) -> None:
    cache = TerrainCache(moon_map, CpuBackend())
    pose = pose_at(40_000.0)
    sun = sun_at(pose, 30.0)

    def terrain(at: Pose, light: NDArray[np.float64]) -> object:
        footprint = cache.footprint(CAMERA, at)
        assert footprint is not None
        return cache.terrain(CAMERA, footprint, 2000.0, light)

    first = terrain(pose, sun)
    near = pose.moved([150.0, -100.0, 80.0], [0.0, 0.0, 0.0])
    assert terrain(near, sun) is first
    assert terrain(near, sun_at(pose, 31.0)) is not first
    far = pose.moved([0.0, 0.0, 40_000.0], [0.0, 0.0, 0.0])
    assert terrain(far, sun) is not first


def test_a_camera_that_looks_away_has_no_footprint(moon_map: LunarMap) -> None:
    assert TerrainCache(moon_map, CpuBackend()).footprint(CAMERA, pose_at(40_000.0, 180.0)) is None


@pytest.mark.parametrize("tilt_deg", [0.0, 60.0, 75.0, 180.0])
def test_the_median_range_alone_is_the_footprints(moon_map: LunarMap, tilt_deg: float) -> None:
    pose, heights = pose_at(40_000.0, tilt_deg), moon_map.height_range_m
    footprint = footprint_of(CAMERA, pose, heights)
    alone = median_range_m(CAMERA, pose, heights[0])
    assert alone == (None if footprint is None else footprint.median_range_m)
    assert (alone is None) == (tilt_deg == 180.0)


def test_the_middle_of_a_nadir_view_is_as_far_as_the_altitude(moon_map: LunarMap) -> None:
    pose = pose_at(40_000.0)
    prediction = view_from(moon_map, pose)
    below = prediction.seen.ranges_m(PixelGrid(63, 63, 1, 2, 2)).mean()
    ground = float(moon_map.height_at(pose.position_m))
    assert below == pytest.approx(40_000.0 - ground, abs=30.0)
