"""Two frames of the same ground tell how far the camera came, over its height."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bench.scenes import pointing
from trn.camera import Camera
from trn.channels.ground_flow import Displacement, GroundFlow
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose

CAMERA = Camera(640, 640, 550.0, 550.0, 319.5, 319.5)
GROUND = cv2.GaussianBlur(
    np.random.default_rng(3).normal(size=(2048, 2048)).astype(np.float32), (0, 0), 2.0
)
GROUND_PIXEL_M = 3.0


def ranges_m(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """To the reference sphere."""
    along = (origins * directions).sum(axis=1)
    inside = along**2 - (origins * origins).sum(axis=1) + REFERENCE_RADIUS_M**2
    return np.where(inside > 0.0, -along - np.sqrt(np.maximum(inside, 0.0)), np.nan)


def pose_at(east_m: float, north_m: float, height_m: float) -> Pose:
    radius = REFERENCE_RADIUS_M
    place = position_from_geographic(north_m / radius, east_m / radius, height_m)
    return Pose(place, pointing(place, 25.0, 90.0, 10.0))


def photograph(pose: Pose, seed: int) -> np.ndarray:
    """The textured sphere from a pose, 8 bits, with noise."""
    columns, rows = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64)
    rays = CAMERA.pixels_to_rays(pixels) @ pose.rotation_body_to_camera()
    ground = pose.position_m + ranges_m(np.tile(pose.position_m, (len(rays), 1)), rays)[:, None] * (
        rays
    )
    axes = east_north_up(position_from_geographic(0.0, 0.0, 0.0))
    flat = (ground @ axes.T)[:, :2] / GROUND_PIXEL_M + 1024.0
    shape = (CAMERA.height, CAMERA.width)
    values = cv2.remap(
        GROUND,
        flat[:, 0].reshape(shape).astype(np.float32),
        flat[:, 1].reshape(shape).astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )
    noise = np.random.default_rng(seed).normal(0.0, 2.0, shape)
    return np.clip(120.0 + 300.0 * values + noise, 0, 255).astype(np.uint8)


FROM, TO = pose_at(0.0, 0.0, 1500.0), pose_at(40.0, -25.0, 1430.0)


@pytest.fixture(scope="module")
def frames() -> tuple[np.ndarray, np.ndarray]:
    return photograph(FROM, 1), photograph(TO, 2)


def moved(
    frames: tuple[np.ndarray, np.ndarray], began: Pose = FROM, now: Pose = TO
) -> Displacement | None:
    flow = GroundFlow(CAMERA, ranges_m)
    assert flow.see(frames[0]) is None
    before = flow.see(frames[1])
    assert before is not None
    return flow.displacement(before, began, now)


def test_the_movement_is_found_to_its_stated_sigma(
    frames: tuple[np.ndarray, np.ndarray],
) -> None:
    """From a believed place that is 15 m off."""
    true = TO.position_m - FROM.position_m
    seen = moved(frames, now=TO.moved(np.array([9.0, -10.0, 7.0]), np.zeros(3)))
    assert seen is not None and seen.corners > 50
    off = seen.offset_m - true
    assert float(off @ np.linalg.solve(seen.covariance_m2, off)) < 16.3  # 99.9 % of 3
    assert np.sqrt(np.trace(seen.covariance_m2)) < 0.01 * np.linalg.norm(true)


def test_a_height_believed_too_high_makes_the_movement_as_much_too_long(
    frames: tuple[np.ndarray, np.ndarray],
) -> None:
    """Images tell movement over height: 30 m of 1,500 m are 2 %."""
    up = FROM.position_m / np.linalg.norm(FROM.position_m)
    true = TO.position_m - FROM.position_m
    seen = moved(frames, began=FROM.moved(30.0 * up, np.zeros(3)))
    assert seen is not None
    along = float(seen.offset_m @ true / (true @ true))
    assert along == pytest.approx(1.02, abs=0.004)


def test_frames_that_share_no_ground_show_no_movement(
    frames: tuple[np.ndarray, np.ndarray],
) -> None:
    elsewhere = photograph(pose_at(1200.0, 1200.0, 1500.0), 3)
    assert moved((frames[0], elsewhere)) is None
    assert moved((frames[0], np.zeros_like(frames[0]))) is None
    assert moved((np.zeros_like(frames[0]), frames[1])) is None


def test_a_camera_that_sees_no_ground_shows_no_movement(
    frames: tuple[np.ndarray, np.ndarray],
) -> None:
    place = FROM.position_m
    away = Pose(place, pointing(place, 180.0, 0.0, 0.0))
    assert moved(frames, began=away, now=away) is None
