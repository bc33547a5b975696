"""The camera agrees with OpenCV, inverts itself, and refuses files that are not cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.camera import Camera
from trn.errors import InputError

WIDE = Camera(1024, 768, 900.0, 910.0, 510.3, 380.7, (-0.21, 0.05, 1e-3, -7e-4, -0.004))
PLAIN = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)

cameras = st.builds(
    Camera,
    width=st.just(1024),
    height=st.just(1024),
    fx=st.floats(700.0, 3000.0),
    fy=st.floats(700.0, 3000.0),
    cx=st.floats(480.0, 540.0),
    cy=st.floats(480.0, 540.0),
    distortion=st.tuples(
        st.floats(-0.2, 0.2),
        st.floats(-0.03, 0.03),
        st.floats(-2e-3, 2e-3),
        st.floats(-2e-3, 2e-3),
        st.floats(-0.01, 0.01),
    ),
)
pixels = st.tuples(st.floats(-0.5, 1023.5), st.floats(-0.5, 1023.5))


def points_in_view(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points in front of the camera, within about 35 degrees of its axis, at 1 m to 100 km."""
    rng = np.random.default_rng(seed)
    depth = 10.0 ** rng.uniform(0.0, 5.0, count)
    return np.column_stack([*(depth * rng.uniform(-0.5, 0.5, (2, count))), depth])


@settings(deadline=None)
@given(camera=cameras, pixel=pixels, range_m=st.floats(1.0, 1e6))
def test_pixels_come_back_from_their_rays(
    camera: Camera, pixel: tuple[float, float], range_m: float
) -> None:
    ray = camera.pixels_to_rays(pixel)
    if np.isnan(ray).any():
        return  # beyond the radius where the lens folds back: tested below
    assert np.linalg.norm(ray) == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(camera.project(range_m * ray), pixel, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(camera=cameras, point=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)))
def test_rays_come_back_from_their_pixels(camera: Camera, point: tuple[float, float]) -> None:
    pixel = camera.project([*point, 1.0])
    assert np.isfinite(pixel).all()
    ray = camera.pixels_to_rays(pixel)
    np.testing.assert_allclose(ray[:2] / ray[2], point, rtol=0, atol=1e-10)


def test_projection_is_opencvs() -> None:
    points = points_in_view(500)
    matrix = np.array([[WIDE.fx, 0, WIDE.cx], [0, WIDE.fy, WIDE.cy], [0, 0, 1]])
    theirs, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), matrix, np.array(WIDE.distortion)
    )
    np.testing.assert_allclose(WIDE.project(points), theirs.reshape(-1, 2), rtol=0, atol=1e-9)


def test_points_behind_the_camera_or_beyond_the_lens_have_no_pixel() -> None:
    assert np.isnan(PLAIN.project([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])).all()
    folding = Camera(640, 480, 500.0, 500.0, 319.5, 239.5, (-0.3, 0.0, 0.0, 0.0, 0.0))
    # r (1 - 0.3 r^2) grows up to r = sqrt(1 / 0.9) = 1.054.
    assert np.isfinite(folding.project([1.05, 0.0, 1.0])).all()
    assert np.isnan(folding.project([1.06, 0.0, 1.0])).all()
    assert np.isnan(folding.pixels_to_rays([319.5 + 500.0 * 0.71, 239.5])).all()


def test_jacobian_is_the_slope_of_the_projection() -> None:
    points = points_in_view(200, seed=1)
    jacobian = WIDE.project_jacobian(points)
    assert jacobian.shape == (200, 2, 3)
    for axis in range(3):
        step = 1e-5 * points[:, 2]
        shift = np.zeros_like(points)
        shift[:, axis] = step
        slope = (WIDE.project(points + shift) - WIDE.project(points - shift)) / (2 * step[:, None])
        scaled = points[:, 2, None] * np.abs(jacobian[:, :, axis] - slope)
        assert scaled.max() < 1e-5  # pixels a unit of point / depth, where f is 900


def test_a_smaller_image_keeps_its_rays() -> None:
    half = WIDE.scaled(2.0)
    assert (half.width, half.height) == (512, 384)
    # The corner shared by four pixels becomes the centre of one.
    np.testing.assert_allclose(
        half.pixels_to_rays([100.0, 50.0]), WIDE.pixels_to_rays([200.5, 100.5]), atol=1e-14
    )


@settings(deadline=None, max_examples=25)
@given(camera=cameras)
def test_a_saved_camera_is_read_back(
    camera: Camera, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("camera") / "camera.yaml"
    camera.save(path)
    assert Camera.load(path) == camera
    assert [p.name for p in path.parent.iterdir()] == ["camera.yaml"]


def document() -> dict[str, Any]:
    return {
        "image_width": 640,
        "image_height": 480,
        "camera_matrix": {"rows": 3, "cols": 3, "data": [500, 0, 319.5, 0, 500, 239.5, 0, 0, 1]},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0, 0, 0, 0, 0]},
    }


def test_a_ros_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(document()))
    assert Camera.load(path) == PLAIN


MATRIX = [500, 0, 319.5, 0, 500, 239.5, 0, 0, 1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_width", None),
        ("image_width", 0),
        ("image_width", 640.0),
        ("image_height", True),
        ("image_height", 10**9),
        ("camera_matrix", None),
        ("camera_matrix", MATRIX),
        ("camera_matrix", {"data": MATRIX[:8]}),
        ("camera_matrix", {"data": [-500, *MATRIX[1:]]}),
        ("camera_matrix", {"data": [500, 0.1, *MATRIX[2:]]}),
        ("camera_matrix", {"data": [float("nan"), *MATRIX[1:]]}),
        ("camera_matrix", {"data": ["500", *MATRIX[1:]]}),
        ("camera_matrix", {"data": [10**400, *MATRIX[1:]]}),
        ("distortion_model", "equidistant"),
        ("distortion_model", ["plumb_bob"]),
        ("distortion_coefficients", {"data": [0.0] * 8}),
        ("distortion_coefficients", {"data": [0.0, 0.0, 0.0, 0.0, float("inf")]}),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump({**document(), field: value}))
    with pytest.raises(InputError) as caught:
        Camera.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {field}")
    assert "\n" not in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- 1\n",
        b"a: [",
        b"\xff\xfe",
        b"!!python/object/apply:os.getcwd []",
        b"a: " + b"9" * 5000,
        b"a: 2023-99-99",
    ],
)
def test_what_is_no_camera_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "camera.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="ROS camera_info file") as caught:
        Camera.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "*e"])
def test_a_huge_value_is_not_quoted_in_full(tmp_path: Path, number: str) -> None:
    path = tmp_path / "camera.yaml"
    # Ten times ten times ... the same list: nothing in the file, too much in a message.
    layers = [
        f"{ours}: &{ours} [{', '.join(['*' + theirs] * 10)}]"
        for theirs, ours in zip("abcd", "bcde", strict=True)
    ]
    path.write_text("\n".join(["a: &a [1]", *layers, f"image_width: {number}"]))
    with pytest.raises(InputError, match="image_width must be") as caught:
        Camera.load(path)
    assert len(str(caught.value)) < len(str(path)) + 100


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        Camera.load(tmp_path / "absent.yaml")
