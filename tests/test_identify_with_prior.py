"""Matches near a believed pose: right ones on noisy views, none where there are no craters."""

import dataclasses

import numpy as np
import pytest

from bench.crater_views import CAMERA
from bench.prior_views import PriorView, prior_view, random_for
from trn.detect import Ellipses
from trn.identify import identify_with_prior
from trn.solve.pose import PoseEstimate

SEEDS = range(20)


@pytest.fixture(scope="module")
def scenes() -> list[PriorView]:
    return [prior_view(seed) for seed in SEEDS]


def test_noisy_views_with_missed_and_false_ellipses_are_matched(scenes: list[PriorView]) -> None:
    right = wrong = due = 0
    normed = []
    for scene in scenes:
        found = identify_with_prior(scene.view.ellipses, CAMERA, scene.believed, scene.index)
        good = scene.view.truth[found.detection] == found.crater
        right, wrong = right + int(good.sum()), wrong + int((~good).sum())
        due += int((scene.view.truth >= 0).sum())
        assert len(set(found.detection)) == len(set(found.crater)) == len(found)
        assert found.residual.shape == (len(found), 5) and found.sigma_px.shape == (len(found), 2)
        if len(found):
            error = found.estimate.pose.position_m - scene.view.pose.position_m
            normed.append(error @ np.linalg.solve(found.estimate.covariance[:3, :3], error))
    assert right >= 0.93 * due
    assert wrong <= 0.005 * right
    assert len(normed) >= len(SEEDS) - 1
    # Three degrees of freedom: a mean of 3 where the covariance is right.
    assert 1.0 < np.mean(normed) < 6.0


def test_random_ellipses_match_nothing_and_give_the_prior_back(scenes: list[PriorView]) -> None:
    for seed, scene in zip(SEEDS, scenes):
        found = identify_with_prior(
            random_for(scene.view, seed), CAMERA, scene.believed, scene.index
        )
        assert len(found) == 0
        assert found.estimate is scene.believed


def test_covariances_of_the_ellipses_are_used(scenes: list[PriorView]) -> None:
    scene = scenes[0]
    plain = scene.view.ellipses
    vague = dataclasses.replace(
        plain, covariance=np.tile(np.diag([9.0, 9.0, 9.0, 9.0, 0.01]), (len(plain), 1, 1))
    )
    one = identify_with_prior(plain, CAMERA, scene.believed, scene.index)
    other = identify_with_prior(vague, CAMERA, scene.believed, scene.index)
    assert np.trace(other.estimate.covariance) > np.trace(one.estimate.covariance)


def test_the_same_input_gives_the_same_output(scenes: list[PriorView]) -> None:
    scene = scenes[1]
    one, other = (
        identify_with_prior(scene.view.ellipses, CAMERA, scene.believed, scene.index)
        for _ in range(2)
    )
    assert np.array_equal(one.crater, other.crater)
    assert np.array_equal(one.estimate.covariance, other.estimate.covariance)


def test_few_and_broken_ellipses(scenes: list[PriorView]) -> None:
    scene = scenes[2]
    values = scene.view.ellipses.values
    for count in (0, 1, 2):
        few = Ellipses.of(values[:count])
        assert not len(identify_with_prior(few, CAMERA, scene.believed, scene.index))
    broken = values.copy()
    broken[::4, 0] = np.nan
    found = identify_with_prior(
        Ellipses(broken, np.ones(len(values))), CAMERA, scene.believed, scene.index
    )
    assert len(found) and not (found.detection % 4 == 0).any()
    same = Ellipses.of(np.repeat(values[:1], 30, axis=0))
    assert not len(identify_with_prior(same, CAMERA, scene.believed, scene.index))


def test_a_prior_as_good_as_the_craters_needs_no_search(scenes: list[PriorView]) -> None:
    scene = scenes[3]
    close = PoseEstimate(scene.view.pose, np.diag([1.0] * 3 + [1e-10] * 3))
    found = identify_with_prior(scene.view.ellipses, CAMERA, close, scene.index)
    assert (scene.view.truth[found.detection] == found.crater).mean() > 0.99
    moved = found.estimate.pose.position_m - scene.view.pose.position_m
    assert np.linalg.norm(moved) < 4.0
