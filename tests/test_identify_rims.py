"""Rims as image ellipses: against points of the rim one by one, and the distance of ellipses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.camera import Camera
from trn.detect import Ellipses
from trn.identify.rims import (
    distance_px,
    ellipses_of,
    five_of,
    five_sigmas,
    project_rims,
    size_of,
    undistorted,
)
from trn.moon.pose import Pose

CAMERA = Camera(1024, 1024, 880.0, 860.0, 511.5, 500.0)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.0, 1.2),
    st.floats(0.0, 6.28),
    st.floats(0.01, 0.5),
    st.floats(0.4, 1.0),
    st.floats(-3.0, 3.0),
    st.floats(3e3, 5e5),
)
def test_the_projected_rim_lies_on_the_ellipse(
    tilt: float, turn: float, share: float, flat: float, roll: float, distance: float
) -> None:
    pose = Pose(
        np.array([1.7e6, 2e5, -3e5]), Rotation.from_euler("zyx", [roll, turn, tilt]).as_quat()
    )
    to_body = pose.rotation_body_to_camera().T
    centre = pose.position_m + to_body @ np.array([0.1, -0.15, 1.0]) * distance
    across = Rotation.from_euler("xz", [tilt, turn]).as_matrix()
    first = to_body @ across[:, 0] * share * distance
    second = to_body @ across[:, 1] * share * distance * flat
    seen = project_rims(CAMERA, pose, centre[None], first[None], second[None])
    angle = np.linspace(0.0, 2.0 * math.pi, 100)[:, None]
    rim = centre + np.cos(angle) * first + np.sin(angle) * second
    pixels = CAMERA.project(pose.to_camera(rim))
    points = np.column_stack([pixels, np.ones(len(pixels))])
    level = np.einsum("ni,ij,nj->n", points, seen.conics()[0], points)
    assert np.abs(level).max() < 1e-6
    again = ellipses_of(five_of(seen))
    assert np.allclose(again.values[:, :4], seen.values[:, :4], rtol=1e-9, atol=1e-9)
    assert size_of(five_of(seen)) == pytest.approx(np.sqrt(seen.values[:, 2] * seen.values[:, 3]))


def test_rims_behind_or_through_the_camera_have_no_ellipse() -> None:
    pose = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
    centre = np.array([[0.0, 0.0, -10.0], [0.0, 0.0, 1.0]])
    first = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    second = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert np.isnan(project_rims(CAMERA, pose, centre, first, second).values).all()


def test_distance_is_the_wasserstein_distance_of_circles_and_parallel_ellipses() -> None:
    one = Ellipses.of([[0.0, 0.0, 5.0, 5.0, 0.3], [10.0, 0.0, 8.0, 4.0, 0.2]])
    other = Ellipses.of([[3.0, 4.0, 7.0, 7.0, -1.0], [10.0, 2.0, 6.0, 5.0, 0.2]])
    apart = distance_px(one, other)
    assert apart[0, 0] == pytest.approx(math.sqrt(25.0 + 2 * 4.0))
    assert apart[1, 1] == pytest.approx(math.sqrt(4.0 + 4.0 + 1.0))


def test_sigmas_of_the_five_numbers_follow_the_covariance() -> None:
    generator = np.random.default_rng(0)
    mean = np.array([100.0, 90.0, 30.0, 18.0, 0.4])
    spread = np.diag([1.0, 1.0, 0.5, 0.5, 0.02]) ** 2
    given_sigma = five_sigmas(Ellipses.of(mean[None], covariance=spread[None]))
    drawn = five_of(Ellipses.of(generator.multivariate_normal(mean, spread, 40_000)))
    assert given_sigma is not None
    assert given_sigma[0, 0] == pytest.approx(drawn[:, :2].std(0).mean(), rel=0.02)
    shape = math.sqrt(drawn[:, 2:].var(0).mean())
    assert given_sigma[0, 1] == pytest.approx(shape, rel=0.02)


def test_ellipses_are_taken_through_the_lens() -> None:
    lens = Camera(1024, 1024, 880.0, 880.0, 511.5, 511.5, (-0.12, 0.02, 0.001, -0.001, 0.0))
    plain = Camera(1024, 1024, 880.0, 880.0, 511.5, 511.5)
    pose = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
    centre = np.array([[0.3, 0.25, 1.0]])
    first, second = np.array([[0.02, 0.0, 0.0]]), np.array([[0.0, 0.015, 0.0]])
    wanted = project_rims(plain, pose, centre, first, second)
    angle = np.linspace(0.0, 2.0 * math.pi, 60, endpoint=False)[:, None]
    rim = lens.project(centre + np.cos(angle) * first + np.sin(angle) * second)
    design = np.column_stack(
        [rim[:, 0] ** 2, rim[:, 0] * rim[:, 1], rim[:, 1] ** 2, rim, np.ones(60)]
    )
    a, b, c, d, e, f = np.linalg.svd(design / design.std(0).clip(1e-9))[2][-1] / design.std(0).clip(
        1e-9
    )
    seen = Ellipses.from_conics(np.array([[a, b / 2, d / 2], [b / 2, c, e / 2], [d / 2, e / 2, f]]))
    assert distance_px(undistorted(seen, lens), wanted)[0, 0] < 0.1
