"""Places that votes and triads propose: the true one is among the first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.crater_views import CAMERA, View, crater_view
from tests.crater_moon import moon_index
from trn.identify.candidates import voted_positions
from trn.identify.ground import likely_downs
from trn.identify.identification import HIGHEST_M, LOWEST_M, on_sphere
from trn.identify.triad_poses import triad_poses

SEEDS = range(5)


@pytest.fixture(scope="module")
def views() -> list[View]:
    return [crater_view(moon_index(), seed, least=25) for seed in SEEDS]


def test_votes_put_the_true_position_first(views: list[View]) -> None:
    first = 0
    for view in views:
        rotation = np.ascontiguousarray(Rotation.from_quat(view.told).as_matrix())
        largest = np.argsort(-view.ellipses.values[:, 2])[:60]
        places = voted_positions(
            rotation, *on_sphere(view.ellipses.chosen(largest), CAMERA), moon_index(), LOWEST_M,
            HIGHEST_M, 20,
        )  # fmt: skip
        away = np.linalg.norm(places - view.pose.position_m, axis=1) / view.altitude_m
        first += bool(away[0] < 0.1)
    assert first >= len(SEEDS) - 1


def test_triads_find_the_true_pose_without_attitude(views: list[View]) -> None:
    first = 0
    for view in views:
        poses = triad_poses(
            *on_sphere(view.ellipses, CAMERA), moon_index(), LOWEST_M, HIGHEST_M, 20
        )
        true = Rotation.from_quat(view.pose.quaternion_xyzw)
        turns = [
            (Rotation.from_matrix(rotation) * true.inv()).magnitude() for rotation, _ in poses[:3]
        ]
        first += bool(min(turns) < 0.2)
        for rotation, _ in poses:
            assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
            assert np.linalg.det(rotation) > 0.0
    assert first >= len(SEEDS) - 1


def test_round_craters_tell_where_down_is(views: list[View]) -> None:
    errors = []
    for view in views:
        ray, _, shape = on_sphere(view.ellipses, CAMERA)
        true = -view.pose.rotation_body_to_camera() @ view.pose.position_m
        ratio = float(np.linalg.norm(true)) / 1_737_400.0
        downs = likely_downs(ray, shape, ratio)
        errors.append(min(np.degrees(np.arccos(down @ true / (ratio * 1_737_400.0)))
                          for _, down in downs))  # fmt: skip
    assert np.median(errors) < 3.0 and max(errors) < 15.0


def test_no_crater_in_the_catalogue_gives_no_place() -> None:
    view = crater_view(moon_index(), 0, least=25)
    rotation = np.ascontiguousarray(Rotation.from_quat(view.told).as_matrix())
    places = voted_positions(
        rotation, *on_sphere(view.ellipses, CAMERA), moon_index(), 1e9, 2e9, 20
    )
    assert places.shape == (0, 3)
