"""The frame's own light is read off its bowls, and corrects a prior that contradicts it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.backend.cpu import CpuBackend
from trn.channels.light import (
    DOUBT_RAD,
    light_axis,
    light_of_frame,
    sun_in_image,
    turn_of_light,
)
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose

BACKEND = CpuBackend()


def looking_down(tilt_rad: float = 0.0, heading_rad: float = 0.0) -> Pose:
    position = position_from_geographic(0.3, 0.8, 50_000.0)
    east, north, up = east_north_up(position)
    level = Rotation.from_matrix(np.stack([east, -north, -up]))
    turned = Rotation.from_euler("zx", [heading_rad, tilt_rad]) * level
    return Pose(position, np.asarray(turned.as_quat()))


def sun_at(azimuth_rad: float, elevation_rad: float = 0.4) -> np.ndarray:
    east, north, up = east_north_up(looking_down().position_m)
    flat = np.sin(azimuth_rad) * east + np.cos(azimuth_rad) * north
    return np.asarray(np.cos(elevation_rad) * flat + np.sin(elevation_rad) * up)


def bowls(sun_px: float, seed: int = 0, count: int = 150) -> np.ndarray:
    """An image of bowls and as many bumps under a light, noise on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:400, 0:400].astype(float)
    image = 0.05 * rng.normal(size=x.shape)
    for k in range(count):
        cx, cy, radius = rng.uniform(10, 390), rng.uniform(10, 390), rng.uniform(4, 12)
        u, v = (x - cx) / radius, (y - cy) / radius
        # Far from the light a bowl is bright, a bump dark.
        lit = -(u * np.cos(sun_px) + v * np.sin(sun_px)) * np.exp(-2.0 * (u * u + v * v))
        image += lit if k % 2 else -0.7 * lit
    return (1000.0 + 400.0 * image).astype(np.float32)


def apart(one: float, other: float) -> float:
    """Angle between two axes."""
    return abs((one - other + np.pi / 2) % np.pi - np.pi / 2)


@pytest.mark.parametrize("sun_px", [-2.5, -1.0, 0.0, 0.7, 1.57, 3.0])
def test_the_axis_of_the_light_is_found_among_bowls_and_bumps(sun_px: float) -> None:
    axis = light_axis(BACKEND.load_image(bowls(sun_px)), BACKEND)
    assert axis is not None
    assert apart(axis, sun_px) < np.radians(5.0)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((300, 300), np.uint8),
        np.full((300, 300), np.nan, np.float32),
        np.random.default_rng(1).normal(size=(300, 300)).astype(np.float32),
        np.ones((20, 20), np.uint16),
    ],
    ids=["black", "nothing", "noise", "tiny"],
)
def test_what_shows_no_bowls_tells_no_light_and_leaves_the_prior(image: np.ndarray) -> None:
    sun = sun_at(1.0)
    kept, turn = light_of_frame(BACKEND.load_image(image), looking_down(), sun, BACKEND)
    assert turn == 0.0
    assert (kept == sun).all()


@settings(max_examples=60, deadline=None)
@given(
    azimuth=st.floats(-3.1, 3.1),
    heading=st.floats(-3.1, 3.1),
    turn=st.floats(-1.3, 1.3),
)
def test_a_turn_of_the_sun_is_found_from_the_axis_that_it_makes(
    azimuth: float, heading: float, turn: float
) -> None:
    pose = looking_down(0.0, heading)
    up = pose.position_m / np.linalg.norm(pose.position_m)
    turned = Rotation.from_rotvec(turn * up).apply(sun_at(azimuth))
    found = turn_of_light(sun_in_image(pose, turned), pose, sun_at(azimuth))
    assert found == pytest.approx(turn, abs=np.radians(1.5))


@pytest.mark.parametrize("off_deg", [-60.0, 60.0])
def test_a_sun_that_is_off_is_turned_and_keeps_its_height(off_deg: float) -> None:
    pose, sun = looking_down(0.2, 0.5), sun_at(0.6)
    up = pose.position_m / np.linalg.norm(pose.position_m)
    image = BACKEND.load_image(bowls(sun_in_image(pose, sun)))
    kept, none = light_of_frame(image, pose, sun, BACKEND)
    assert none == 0.0 and (kept == sun).all()
    wrong = Rotation.from_rotvec(np.radians(off_deg) * up).apply(sun)
    righted, turn = light_of_frame(image, pose, wrong, BACKEND)
    assert abs(turn) > DOUBT_RAD
    assert turn == pytest.approx(-np.radians(off_deg), abs=np.radians(8.0))
    assert righted @ up == pytest.approx(sun @ up)
