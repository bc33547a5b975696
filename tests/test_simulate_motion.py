"""The image moves as the ground does under the camera, and smears along that way."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.test_simulate_render import CAMERA, camera_above
from trn.moon.pose import Pose
from trn.simulate.motion import Motion, image_motion, smeared

ALTITUDE_M = 5000.0
POSE = camera_above(ALTITUDE_M, 20.0, 40.0)
DEPTH = np.full((CAMERA.height, CAMERA.width), 5400.0, np.float32)
STILL = np.zeros(3)


def moved_pixels(pose: Pose, motion: Motion, seconds: float) -> np.ndarray:
    """Image velocity from the two ends of a short time: project, move, project again."""
    column, row = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = CAMERA.pixels_to_rays(np.stack([column, row], axis=-1).astype(float))
    points = pose.position_m + DEPTH[..., None] * (rays @ pose.rotation_body_to_camera())
    ends = []
    for t in (-0.5 * seconds, 0.5 * seconds):
        turn = Rotation.from_rotvec(-t * motion.angular_rate_rad_per_s)
        then = Pose(
            pose.position_m + t * motion.velocity_m_per_s,
            (turn * Rotation.from_quat(pose.quaternion_xyzw)).as_quat(),
        )
        ends.append(CAMERA.project(then.to_camera(points)))
    return (ends[1] - ends[0]) / seconds


@pytest.mark.parametrize(
    ("velocity", "rate"),
    [
        ([300.0, -200.0, 100.0], [0.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.02, -0.05, 0.03]),
        ([-900.0, 400.0, 700.0], [0.01, 0.02, -0.05]),
    ],
)
def test_the_flow_is_that_of_ground_points(velocity: list[float], rate: list[float]) -> None:
    motion = Motion(np.array(velocity), np.array(rate))
    flow = image_motion(CAMERA, POSE, DEPTH, motion)
    expected = moved_pixels(POSE, motion, 1e-3)
    assert np.abs(flow - expected).max() < 0.02 * np.abs(expected).max() + 0.01


def test_the_sky_moves_by_the_turn_alone() -> None:
    sky = np.full_like(DEPTH, np.nan)
    assert np.abs(image_motion(CAMERA, POSE, sky, Motion(np.full(3, 1000.0), STILL))).max() < 1e-3
    turning = image_motion(CAMERA, POSE, sky, Motion(STILL, np.array([0.0, 0.1, 0.0])))
    assert np.abs(turning[..., 0]).min() > 0.09 * CAMERA.fx


def test_a_point_becomes_a_line_as_long_as_its_way() -> None:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1.0
    flow = np.zeros((41, 41, 2), np.float32)
    flow[..., 0], flow[..., 1] = 12.0, 0.0
    line = smeared(image, flow)
    assert line.sum() == pytest.approx(1.0, rel=1e-3)
    assert np.count_nonzero(line[20] > 1e-3) in (12, 13)
    assert np.count_nonzero(np.delete(line, 20, axis=0)) == 0
    # Centred on where the point is in the middle of the exposure.
    assert (line[20] * np.arange(41)).sum() == pytest.approx(20.0, abs=0.05)
    assert math.isclose(line.max(), 1.0 / 12.0, rel_tol=0.1)


def test_a_smear_that_no_one_sees_costs_nothing() -> None:
    image = np.ones((8, 8), np.float32)
    assert smeared(image, np.full((8, 8, 2), 0.05, np.float32)) is image


@pytest.mark.parametrize("sigma_px", [0.08, 1.0, 40.0])
def test_a_smear_is_the_plain_mean_of_moved_images(sigma_px: float) -> None:
    """To the last bit: datasets are made of it."""
    random = np.random.default_rng(4)
    image = random.random((50, 61)).astype(np.float32)
    flow = (sigma_px * random.standard_normal((50, 61, 2))).astype(np.float32)
    columns, rows = np.meshgrid(np.arange(61, dtype=np.float32), np.arange(50, dtype=np.float32))
    taps = int(np.clip(np.ceil(np.abs(flow).max()), 2, 96))
    total = np.zeros_like(image)
    for k in range(taps):
        share = np.float32((k + 0.5) / taps - 0.5)
        total += cv2.remap(
            image, columns + share * flow[..., 0], rows + share * flow[..., 1],
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    assert np.array_equal(smeared(image, flow), total / np.float32(taps))
