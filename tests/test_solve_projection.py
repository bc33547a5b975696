"""The compiled projection is the camera's own, and its sums are those of plain matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.moon.pose import Pose
from trn.solve.projection import normal_equations, project, project_with_slopes

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
    rotation = pose.rotation_body_to_camera()
    return project_with_slopes(rotation, pose.position_m, points, np.array(camera.numbers()))


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), lenses)
def test_pixels_are_the_cameras(seed: int, lens: tuple[float, ...]) -> None:
    camera, pose, points = draw(seed, lens)
    expected = camera.project(pose.to_camera(points))
    pixel, _ = compiled(camera, pose, points)
    np.testing.assert_allclose(pixel, expected, rtol=1e-9, atol=1e-6)
    lens_numbers = np.array(camera.numbers())
    alone = project(pose.rotation_body_to_camera(), pose.position_m, points, lens_numbers)
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
    np.testing.assert_allclose(slopes / scale, expected / scale, atol=1e-8)


@settings(deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), st.floats(0.5, 10.0))
def test_normal_equations_are_sums_over_what_is_finite(seed: int, robust_scale: float) -> None:
    rng = np.random.default_rng(seed)
    residual, slopes = rng.normal(0, 3, (30, 2)), rng.normal(0, 1, (30, 2, 6))
    root = rng.normal(0, 1, (30, 2, 2))
    weight = root @ np.swapaxes(root, 1, 2)
    for square in (robust_scale**2, np.inf):
        distance = np.einsum("ni,nij,nj->n", residual, weight, residual)
        shared = weight / (1.0 + distance / square)[:, None, None]
        information = np.einsum("nai,nab,nbj->ij", slopes, shared, slopes)
        right = np.einsum("nai,nab,nb->i", slopes, shared, residual)
        broken_residual = np.append(residual, [[np.nan, 0.0], [1.0, 1.0]], axis=0)
        broken_slopes = np.append(slopes, np.full((2, 2, 6), 1.0), axis=0)
        broken_slopes[-1, 1, 3] = np.inf
        broken_weight = np.append(weight, [np.eye(2)] * 2, axis=0)
        found = normal_equations(broken_residual, broken_slopes, broken_weight, square)
        np.testing.assert_allclose(found[0], information, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[1], right, rtol=1e-9, atol=1e-9)
