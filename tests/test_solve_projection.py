"""The compiled projection is the camera's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.solve.projection import (
    furthest_move,
    place_covariances,
    project,
    project_with_slopes,
)

lenses = st.tuples(*(st.floats(-size, size) for size in (0.3, 0.1, 0.01, 0.01, 0.05)))


def draw(seed: int, lens: tuple[float, ...]) -> tuple[Camera, Pose, np.ndarray]:
    """A camera 50 km up and points around it, some behind it and some beyond its lens's fold."""
    rng = np.random.default_rng(seed)
    camera = Camera(1024, 768, 900.0, 950.0, 500.0, 390.0, lens)
    pose = Pose(
        np.array([1.2e6, -0.9e6, 0.8e6]), Rotation.from_rotvec(rng.normal(0, 1, 3)).as_quat()
    )
    seen = rng.normal([0.0, 0.0, 4e4], 3e4, (40, 3))
    return camera, pose, pose.position_m + seen @ pose.rotation_body_to_camera()


def compiled(camera: Camera, pose: Pose, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return project_with_slopes(pose.quaternion(), pose.position_m, points, camera.lens)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses)
def test_pixels_are_the_cameras(seed: int, lens: tuple[float, ...]) -> None:
    camera, pose, points = draw(seed, lens)
    expected = camera.project(pose.to_camera(points))
    pixel, _ = compiled(camera, pose, points)
    np.testing.assert_allclose(pixel, expected, rtol=1e-9, atol=1e-6)
    alone = project(pose.quaternion(), pose.position_m, points, camera.lens)
    np.testing.assert_array_equal(alone, pixel)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses)
def test_slopes_are_the_cameras_times_how_points_move(seed: int, lens: tuple[float, ...]) -> None:
    camera, pose, points = draw(seed, lens)
    seen = pose.to_camera(points)
    by_point = camera.project_jacobian(seen)
    turn = np.cross(np.eye(3)[None], seen[:, None])  # rows: e_k x p, for turns about each axis
    expected = np.concatenate(
        [-by_point @ pose.rotation_body_to_camera(), by_point @ np.swapaxes(turn, 1, 2)], axis=-1
    )
    _, slopes = compiled(camera, pose, points)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    expected[np.isnan(camera.project(seen)[:, 0])] = 0.0
    np.testing.assert_allclose(slopes / scale, expected / scale, atol=1e-8)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses)
def test_places_scatter_as_the_pose_does(seed: int, lens: tuple[float, ...]) -> None:
    camera, pose, points = draw(seed, lens)
    root = np.random.default_rng(seed).normal(size=(6, 6)) * np.repeat([100.0, 1e-3], 3)[:, None]
    _, slopes = compiled(camera, pose, points)
    expected = slopes @ (root @ root.T) @ np.swapaxes(slopes, 1, 2)
    found = place_covariances(
        pose.quaternion(), pose.position_m, root @ root.T, points, camera.lens
    )
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True) + 1e-300
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-9)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses)
def test_the_furthest_move_is_that_of_what_both_poses_see(
    seed: int, lens: tuple[float, ...]
) -> None:
    camera, pose, points = draw(seed, lens)
    moved = pose.moved([300.0, -200.0, 100.0], [0.01, 0.02, -0.01])
    ends = pose.quaternion(), pose.position(), moved.quaternion(), moved.position()
    before, after = (camera.project(each.to_camera(points)) for each in (pose, moved))
    both = np.isfinite(before + after).all(axis=1)
    found = furthest_move(*ends, points, camera.lens)
    expected = np.abs(after - before)[both].max() if both.any() else np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    behind = 2.0 * pose.position_m - points[both]
    assert np.isnan(furthest_move(*ends, behind, camera.lens))
