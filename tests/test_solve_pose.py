"""The solver finds the pose, says how sure it is, and is not led by wrong matches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binom, chi2

from trn.camera import Camera
from trn.moon.frames import east_north_up, position_from_geographic
from trn.moon.pose import Pose
from trn.solve import (
    Matches,
    PoseEstimate,
    chance_of_consensus,
    find_consensus,
    gather_evidence,
    jacobian,
    solve_pose,
    whitened_residuals,
)
from trn.solve.pose import correction_between

CAMERA = Camera(1024, 1024, 1000.0, 1000.0, 511.5, 511.5, (-0.05, 0.01, 0.0, 0.0, 0.0))
PRIOR_SIGMAS = np.repeat([1500.0, np.deg2rad(0.05)], 3)
NOISE_PX = 0.5


def nadir_pose(altitude_m: float = 60_000.0) -> Pose:
    position = position_from_geographic(0.3, 0.8, altitude_m)
    east, north, up = east_north_up(position)
    return Pose(position, Rotation.from_matrix(np.stack([east, -north, -up])).as_quat())


def scene(seed: int, count: int = 120, wrong_share: float = 0.0):
    """Truth, prior and matches of one draw: terrain of 1 km relief under the camera."""
    rng = np.random.default_rng(seed)
    truth = nadir_pose()
    rays = (
        CAMERA.pixels_to_rays(rng.uniform(20, 1004, (count, 2))) @ truth.rotation_body_to_camera()
    )
    ranges = (60_000.0 + rng.normal(0, 1000.0, count)) / -(
        rays @ (truth.position_m / np.linalg.norm(truth.position_m))
    )
    points = truth.position_m + ranges[:, None] * rays
    pixels = CAMERA.project(truth.to_camera(points)) + rng.normal(0, NOISE_PX, (count, 2))
    wrong = rng.permutation(count) < round(wrong_share * count)
    pixels[wrong] += rng.uniform(-100, 100, (int(wrong.sum()), 2))
    errors = rng.normal(0, PRIOR_SIGMAS)
    prior = PoseEstimate(truth.moved(errors[:3], errors[3:]), np.diag(PRIOR_SIGMAS**2))
    covariance = np.repeat((NOISE_PX**2 * np.eye(2))[None], count, axis=0)
    return truth, prior, Matches(points, pixels, covariance, np.full(count, 0.8)), wrong


def test_the_jacobian_is_the_derivative_of_projection() -> None:
    truth, _, matches, _ = scene(1, count=10)
    analytic = jacobian(CAMERA, truth, matches.points_m)
    for k, step in enumerate([1.0] * 3 + [1e-6] * 3):
        x = np.zeros(6)
        x[k] = step
        ahead, behind = truth.moved(x[:3], x[3:]), truth.moved(-x[:3], -x[3:])
        numeric = (
            CAMERA.project(ahead.to_camera(matches.points_m))
            - CAMERA.project(behind.to_camera(matches.points_m))
        ) / (2 * step)
        assert analytic[:, :, k] == pytest.approx(numeric, rel=1e-5, abs=1e-6 / step)


def test_a_correction_takes_one_pose_to_the_other() -> None:
    truth = nadir_pose()
    x = np.array([10.0, -20.0, 5.0, 0.01, -0.02, 0.005])
    assert correction_between(truth, truth.moved(x[:3], x[3:])) == pytest.approx(x, abs=1e-7)


def test_errors_match_the_claimed_covariance_over_many_draws() -> None:
    """NEES of the six unknowns over 200 draws lies in its 99.9 % interval."""
    nees = []
    for seed in range(200):
        truth, prior, matches, _ = scene(seed)
        estimate = solve_pose(CAMERA, prior, matches, prior.pose, robust_scale=None)
        error = correction_between(estimate.pose, truth)
        nees.append(error @ np.linalg.solve(estimate.covariance, error))
    low, high = chi2.ppf([0.0005, 0.9995], 6 * 200) / 200
    assert low < np.mean(nees) < high


def test_the_attitude_prior_holds_where_matches_cannot_tell() -> None:
    """With one match the attitude stays at its prior and keeps its prior's sigma."""
    truth, prior, matches, _ = scene(3)
    one = matches.chosen(np.arange(len(matches)) == 0)
    estimate = solve_pose(CAMERA, prior, one, prior.pose, robust_scale=None)
    about_boresight = np.sqrt(estimate.covariance[5, 5])
    assert about_boresight == pytest.approx(PRIOR_SIGMAS[5], rel=0.01)
    assert np.abs(correction_between(prior.pose, estimate.pose)[5]) < PRIOR_SIGMAS[5]
    assert truth is not prior.pose


def test_whitened_residuals_are_squared_mahalanobis_distances_inf_behind_the_camera() -> None:
    truth, _, matches, _ = scene(2, count=30)
    root = np.random.default_rng(2).normal(0, 1, (30, 2, 2))
    behind = matches.points_m.copy()
    behind[4] = 2.0 * truth.position_m - behind[4]
    turned = Matches(
        behind, matches.pixels_px, root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(2), matches.score
    )
    residual = turned.pixels_px - CAMERA.project(truth.to_camera(behind))
    weight = np.linalg.inv(turned.covariance_px2)
    expected = np.einsum("ni,nij,nj->n", residual, weight, residual)
    expected[4] = np.inf
    np.testing.assert_allclose(whitened_residuals(CAMERA, truth, turned), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_forty_percent_wrong_matches_do_not_move_the_fix(seed: int) -> None:
    truth, prior, matches, wrong = scene(seed, wrong_share=0.4)
    agrees = find_consensus(CAMERA, prior, matches)
    assert agrees[~wrong].mean() > 0.95
    assert agrees[wrong].mean() < 0.1
    estimate = solve_pose(CAMERA, prior, matches.chosen(agrees), prior.pose)
    error = correction_between(estimate.pose, truth)
    assert error @ np.linalg.solve(estimate.covariance, error) < chi2.isf(1e-6, 6)
    assert np.linalg.norm(error[:3]) < 200.0


def test_matches_drawn_at_random_are_not_mistaken_for_agreement() -> None:
    for seed in range(50):
        _, prior, matches, _ = scene(seed, count=60, wrong_share=1.0)
        agrees = find_consensus(CAMERA, prior, matches)
        area = np.pi * 11.8 * (NOISE_PX**2 + 1.0)
        assert chance_of_consensus(60, int(agrees.sum()), area / 200.0**2) > 1e-6


def plain_consensus(prior: PoseEstimate, matches: Matches, seed: int) -> np.ndarray:
    """find_consensus by its definition: Gumbel keys, inverse covariances, one hypothesis a turn."""
    design = jacobian(CAMERA, prior.pose, matches.points_m)
    residual = matches.pixels_px - CAMERA.project(prior.pose.to_camera(matches.points_m))
    weight = np.linalg.inv(matches.covariance_px2 + np.eye(2))
    information = np.einsum("nai,nab,nbj->nij", design, weight, design)
    right = np.einsum("nai,nab,nb->ni", design, weight, residual)

    def agreement(chosen: np.ndarray) -> np.ndarray:
        told = np.linalg.inv(prior.covariance) + information[chosen].sum(axis=0)
        left = residual - design @ np.linalg.solve(told, right[chosen].sum(axis=0))
        return np.einsum("na,nab,nb->n", left, weight, left) < 11.8

    chance = np.clip(matches.score, 0.05, 1.0) ** 2
    gumbel = np.random.default_rng(seed).gumbel(size=(50, len(matches)))
    drawn = np.argsort(-(np.log(chance) + gumbel), axis=1)[:, :3]
    best = max(map(agreement, drawn), key=np.sum)
    for _ in range(10):
        best = agreement(np.flatnonzero(best))
    return best


@pytest.mark.parametrize("wrong_share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("count", [3, 5, 60])
def test_the_set_that_agrees_is_the_one_of_the_plain_definition(
    count: int, wrong_share: float
) -> None:
    for seed in range(20):
        _, prior, drawn, _ = scene(seed, count, wrong_share)
        rng = np.random.default_rng(seed)
        root = rng.normal(0, 0.6, (count, 2, 2))
        covariance = root @ np.swapaxes(root, 1, 2) + 0.05 * np.eye(2)
        matches = Matches(drawn.points_m, drawn.pixels_px, covariance, rng.uniform(0, 1, count))
        agrees = find_consensus(CAMERA, prior, matches, hypotheses=50, seed=seed)
        assert (agrees == plain_consensus(prior, matches, seed)).all()


@pytest.mark.parametrize("probability", [0.0, 1e-6, 0.02, 0.7, 1.0, 3.0])
def test_chance_is_that_of_a_binomial_tail_times_the_samples(probability: float) -> None:
    for searched, agreeing in ((5, 5), (60, 4), (60, 20), (80, 80)):
        samples = searched * (searched - 1) * (searched - 2) / 6.0
        expected = samples * binom.sf(agreeing - 4, searched - 3, min(probability, 1.0))
        found = chance_of_consensus(searched, agreeing, probability)
        assert found == pytest.approx(expected, rel=1e-9, abs=0.0)


def test_no_agreement_is_claimed_from_fewer_matches_than_a_sample() -> None:
    _, prior, matches, _ = scene(0, count=2)
    assert not find_consensus(CAMERA, prior, matches).any()
    assert chance_of_consensus(2, 2, 0.01) == 1.0


def test_displacements_over_the_view_give_back_the_pose_that_made_them() -> None:
    """One step from 30 m and 0.01 deg away: what is left is the square of the step."""
    truth, _, matches, _ = scene(3)
    start = truth.moved(np.array([30.0, -20.0, 10.0]), np.deg2rad([0.01, -0.01, 0.02]))
    displacement = CAMERA.project(truth.to_camera(matches.points_m)) - CAMERA.project(
        start.to_camera(matches.points_m)
    )
    information = np.repeat(np.eye(2)[None] / 0.01**2, len(matches), axis=0)
    vague = PoseEstimate(start, np.diag(np.repeat([1e4, 0.1], 3) ** 2))
    pull = (information @ displacement[:, :, None])[:, :, 0]
    found = gather_evidence(CAMERA, vague, start, matches.points_m, information, pull).solution()
    left = correction_between(found.pose, truth)
    assert np.abs(left[:3]).max() < 0.5
    assert np.abs(left[3:]).max() < np.deg2rad(5e-4)


def test_alignment_without_information_returns_to_the_prior() -> None:
    truth, prior, matches, _ = scene(4)
    nothing = np.zeros((len(matches), 2, 2))
    found = gather_evidence(
        CAMERA, prior, truth, matches.points_m, nothing, np.zeros((120, 2))
    ).solution()
    assert found.pose.position_m == pytest.approx(prior.pose.position_m, abs=1e-6)
    assert found.covariance == pytest.approx(prior.covariance, rel=1e-9)
