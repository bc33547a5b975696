"""A level is exceeded as often as it says, and a part of the view that is wrong is not trusted."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from tests.test_solve_pose import CAMERA, nadir_pose, scene
from trn.moon.frames import east_north_up
from trn.solve import Evidence, Matches, PoseEstimate, gather_evidence
from trn.solve.evidence import PARTS_A_SIDE
from trn.solve.integrity import (
    CALM_SCALE,
    CALM_SURPRISE,
    OVERBOUND,
    Separations,
    mixture_level,
    protection_levels,
    separated_levels,
    solution_separations,
    untrusted,
    windows,
)

RISK = 0.02
AXES = east_north_up(nadir_pose().position_m)


def evidence_of(matches: Matches, prior: PoseEstimate, truth_pixels_px: np.ndarray) -> Evidence:
    """Evidence at the true pose from matches whose displacement from there is given."""
    information = matches.weight
    pull = (information @ (matches.pixels_px - truth_pixels_px)[:, :, None])[:, :, 0]
    return gather_evidence(CAMERA, prior, nadir_pose(), matches.points_m, information, pull)


def gaussian_evidence(
    rng: np.random.Generator, count: int = 1
) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Evidence at the true pose, and `count` draws of what prior and parts pull there by chance.

    Returns the evidence without pull, prior pulls (count, 6) and pulls (count, K, 6).
    """
    truth, _, matches, _ = scene(11, count=400)
    prior = PoseEstimate(truth, np.diag(np.repeat([1500.0, np.deg2rad(0.05)], 3) ** 2))
    evidence = evidence_of(matches, prior, matches.pixels_px)
    roots = np.linalg.cholesky(evidence.information)
    pulls = (roots @ rng.normal(size=(count, len(roots), 6, 1)))[..., 0]
    prior_pulls = rng.normal(size=(count, 6)) @ np.linalg.cholesky(evidence.prior_information).T
    return evidence, prior_pulls, pulls


def pulled(evidence: Evidence, prior_pull: np.ndarray, pull: np.ndarray) -> Evidence:
    return Evidence(
        evidence.start, evidence.prior_information, prior_pull, evidence.information, pull
    )


def error_of(evidence: Evidence) -> np.ndarray:
    return AXES @ (evidence.solution().pose.position_m - nadir_pose().position_m)


def within_chance(count: int, of: int, probability: float) -> bool:
    """Whether a count is within the central 99.9 % of the binomial distribution."""
    low, high = binom.interval(0.999, of, probability)
    return bool(low <= count <= high)


def test_gaussian_errors_exceed_the_levels_at_half_the_risk_each() -> None:
    draws = np.random.default_rng(1).normal(size=(200_000, 3)) * [30.0, 30.0, 12.0]
    horizontal, vertical = protection_levels(np.diag([900.0, 900.0, 144.0]), RISK)
    beyond = np.hypot(draws[:, 0], draws[:, 1]) > horizontal, np.abs(draws[:, 2]) > vertical
    assert within_chance(int(beyond[0].sum()), len(draws), RISK / 2)
    assert within_chance(int(beyond[1].sum()), len(draws), RISK / 2)


def test_a_long_ellipse_is_exceeded_at_half_the_risk_however_it_lies() -> None:
    turn = np.array([[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    draws = np.random.default_rng(2).normal(size=(200_000, 3)) * [40.0, 5.0, 10.0] @ turn
    horizontal, _ = protection_levels(turn.T @ np.diag([1600.0, 25.0, 100.0]) @ turn, RISK)
    beyond = int((np.hypot(draws[:, 0], draws[:, 1]) > horizontal).sum())
    assert within_chance(beyond, len(draws), RISK / 2)


def test_a_horizontal_level_solves_its_equation() -> None:
    chance, offset = np.array([0.9, 0.1]), np.array([[0.0, 0.0, 0.0], [30.0, -40.0, 9.0]])
    sides = np.array([[[3.0, 0.0], [0.0, 20.0]], [[9.0, 4.0], [-4.0, 12.0]]])
    covariance = np.zeros((2, 3, 3))
    covariance[:, :2, :2] = sides @ np.swapaxes(sides, 1, 2)
    covariance[:, 2, 2] = 25.0
    horizontal, _ = separated_levels(Separations(offset, covariance, chance, 0.0, 1.0), RISK)
    level, angle = horizontal / OVERBOUND, (np.arange(32) + 0.5) * np.pi / 64.0
    beyond = 0.0
    for share, mean, plane in zip(chance, offset, covariance[:, :2, :2], strict=True):
        axes = np.linalg.eigvalsh(plane)
        variance = axes[0] * np.sin(angle) ** 2 + axes[1] * np.cos(angle) ** 2
        rest = level - np.hypot(mean[0], mean[1])
        beyond += share * np.exp(-0.5 * rest**2 / variance).mean()
    assert beyond == pytest.approx(RISK / 2, rel=1e-3)


def test_fixes_without_fault_exceed_their_separated_levels_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(3)
    evidence, prior_pulls, pulls = gaussian_evidence(rng, 2000)
    beyond = 0
    for prior_pull, pull in zip(prior_pulls, pulls, strict=True):
        drawn = pulled(evidence, prior_pull, pull)
        error = error_of(drawn)
        horizontal, vertical = separated_levels(solution_separations(drawn, AXES), RISK)
        beyond += np.hypot(error[0], error[1]) > horizontal or abs(error[2]) > vertical
    # The alternatives may widen the level, never narrow it.
    assert beyond <= binom.ppf(0.999, len(pulls), RISK)


def test_levels_without_fault_are_little_wider_than_the_covariance_says() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(4), 300)
    ratios = []
    for prior_pull, pull in zip(prior_pulls, pulls, strict=True):
        separations = solution_separations(pulled(evidence, prior_pull, pull), AXES)
        ratios.append(
            np.divide(
                separated_levels(separations), protection_levels(separations.covariance_m2[0])
            )
        )
    assert (np.array(ratios) > 0.999).all()
    assert (np.median(ratios, axis=0) < 1.2).all()


@pytest.mark.parametrize("shift_px", [0.05, 0.1, 0.2, 0.5, 2.0, 20.0])
def test_a_part_of_the_view_that_is_displaced_widens_the_level_or_refuses_the_fix(
    shift_px: float,
) -> None:
    """A sixteenth of the view shows ground that has moved, in any direction."""
    rng = np.random.default_rng(5)
    evidence, prior_pulls, pulls = gaussian_evidence(rng, 160)
    truth, _, matches, _ = scene(11, count=400)
    part = part_of(matches.pixels_px)
    wrong = 0
    for number, (prior_pull, pull) in enumerate(zip(prior_pulls, pulls, strict=True)):
        which = number % PARTS_A_SIDE**2
        angle = rng.uniform(0.0, 2.0 * np.pi)
        shift = shift_px * np.array([np.cos(angle), np.sin(angle)])
        moved = Matches(
            matches.points_m,
            matches.pixels_px + np.where(part == which, 1.0, 0.0)[:, None] * shift,
            matches.covariance_px2,
            matches.score,
        )
        fault = evidence_of(moved, PoseEstimate(truth, np.eye(6)), matches.pixels_px).pull
        drawn = pulled(evidence, prior_pull, pull + fault)
        error = error_of(drawn)
        separations = solution_separations(drawn, AXES)
        levels = separated_levels(separations)
        trusted = not untrusted(separations, levels, 500.0)
        wrong += trusted and (
            bool(np.hypot(error[0], error[1]) > levels[0]) or bool(abs(error[2]) > levels[1])
        )
    # A fault is itself rare: of those that happen a few may pass.
    assert wrong <= 0.03 * len(pulls)


def part_of(pixels_px: np.ndarray) -> np.ndarray:
    column, row = ((pixels_px + 0.5) // (CAMERA.width / PARTS_A_SIDE)).astype(int).T
    return PARTS_A_SIDE * row + column


def test_a_grossly_displaced_part_is_refused_in_plain_words() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(6))
    pull = pulls[0].copy()
    pull[5] += evidence.information[5] @ np.array([5000.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    separations = solution_separations(pulled(evidence, prior_pulls[0], pull), AXES)
    reason = untrusted(separations, separated_levels(separations), 500.0)
    assert "too uncertain" in reason
    assert "parts of the view disagree by" in reason


def test_covariances_grow_with_the_disagreement_of_parts() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(6))
    before = solution_separations(pulled(evidence, prior_pulls[0], pulls[0]), AXES)
    pull = pulls[0].copy()
    pull[5] += evidence.information[5] @ np.array([300.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    after = solution_separations(pulled(evidence, prior_pulls[0], pull), AXES)
    assert after.scale == pytest.approx(after.surprise / CALM_SURPRISE)
    assert after.covariance_m2 == pytest.approx(
        before.covariance_m2 * after.scale / before.scale, rel=1e-9
    )


def test_parts_of_an_aligned_view_that_agree_make_the_fix_surer() -> None:
    evidence, prior_pulls, _ = gaussian_evidence(np.random.default_rng(6))
    calm = pulled(evidence, np.zeros_like(prior_pulls[0]), np.zeros_like(evidence.pull))
    alone = solution_separations(calm, AXES)
    assert alone.surprise == pytest.approx(0.0, abs=1e-12)
    assert alone.scale == 1.0
    assert solution_separations(replace(calm, aligned=True), AXES).scale == CALM_SCALE < 1.0


def test_ground_beside_the_map_adds_to_the_covariance_what_it_moves_the_fix_by() -> None:
    """Monte Carlo over offsets of each part's own ground, noise left out."""
    rng = np.random.default_rng(12)
    evidence, _, _ = gaussian_evidence(rng)
    beside = Evidence(
        evidence.start,
        evidence.prior_information,
        np.zeros(6),
        evidence.information,
        np.zeros_like(evidence.pull),
        ground_sigma_m=20.0,
    )
    added = (beside.solution().covariance - evidence.solution().covariance)[:3, :3]
    level = AXES[:2].T @ AXES[:2]
    moved = []
    for _ in range(2000):
        offset = 20.0 * rng.normal(size=(len(evidence.pull), 3))
        pull = (evidence.information[:, :, :3] @ (offset @ level)[:, :, None])[:, :, 0]
        moved.append(error_of(pulled(evidence, np.zeros(6), pull)))
    expected = AXES @ added @ AXES.T
    square = (moved @ np.linalg.inv(expected) * moved).sum(axis=1)
    assert square.mean() / 3.0 == pytest.approx(1.0, abs=0.08)


def test_light_that_shifts_the_whole_view_adds_what_it_moves_the_fix_by() -> None:
    """The parts' own ground apart, a shift of all of it moves the fix by about as much."""
    rng = np.random.default_rng(13)
    evidence, _, _ = gaussian_evidence(rng)
    shift = AXES[:2].T @ np.array([30.0, 40.0])
    lit = replace(evidence, light_shift_m=shift)
    added = (lit.solution().covariance - evidence.solution().covariance)[:3, :3]
    pull = evidence.information[:, :, :3] @ shift
    moved = error_of(pulled(evidence, np.zeros(6), pull))
    moved = moved - error_of(pulled(evidence, np.zeros(6), np.zeros_like(pull)))
    assert AXES @ added @ AXES.T == pytest.approx(np.outer(moved, moved), abs=1e-6)
    assert np.hypot(*moved[:2]) == pytest.approx(50.0, rel=0.1)
    # All windows see the same light: it tells nothing of which of them is wrong.
    calm, plain = (solution_separations(each, AXES).surprise for each in (lit, evidence))
    assert calm == pytest.approx(plain, rel=0.2)


@pytest.mark.parametrize(
    ("levels", "name"), [((501.0, 9.0), "horizontal"), ((9.0, 501.0), "vertical")]
)
def test_a_level_beyond_the_alert_limit_is_refused_by_its_name(
    levels: tuple[float, float], name: str
) -> None:
    calm = Separations(np.zeros((1, 3)), np.eye(3)[None], np.ones(1), 0.0, 1.0)
    assert f"{name} protection level 501 m" in untrusted(calm, levels, 500.0)
    assert untrusted(calm, (499.0, 499.0), 500.0) == ""


def test_separations_are_those_of_solving_again_without_the_window() -> None:
    truth, prior, matches, _ = scene(8, count=300)
    expected = CAMERA.project(truth.to_camera(matches.points_m))
    separations = solution_separations(evidence_of(matches, prior, expected), AXES)
    whole = evidence_of(matches, prior, expected).solution()
    part = part_of(expected)
    for k, held in enumerate(windows(), start=1):
        outside = matches.chosen(~held[part])
        alone = evidence_of(outside, prior, expected[~held[part]]).solution()
        offset = AXES @ (whole.pose.position_m - alone.pose.position_m)
        assert separations.offset_m[k] == pytest.approx(offset, abs=1e-6)
        assert separations.covariance_m2[k] / separations.scale == pytest.approx(
            AXES @ alone.covariance[:3, :3] @ AXES.T, rel=1e-6, abs=1e-6
        )


def test_surprise_of_a_view_without_fault_is_seldom_large() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(9), 500)
    surprises = [
        solution_separations(pulled(evidence, a, b), AXES).surprise
        for a, b in zip(prior_pulls, pulls, strict=True)
    ]
    assert np.median(surprises) < CALM_SURPRISE
    assert np.percentile(surprises, 99) < 4.0 * CALM_SURPRISE


def test_whatever_is_wrong_within_a_part_s_width_lies_in_one_window() -> None:
    held = windows().reshape(-1, PARTS_A_SIDE, PARTS_A_SIDE)
    for row in range(PARTS_A_SIDE - 1):
        for column in range(PARTS_A_SIDE - 1):
            assert held[:, row : row + 2, column : column + 2].all(axis=(1, 2)).any()


@pytest.mark.parametrize("risk", [0.1, 1e-3, 1e-7])
def test_a_mixture_s_level_solves_its_equation(risk: float) -> None:
    parts = [(0.9, 0.0, 10.0), (0.08, 40.0, 15.0), (0.02, -200.0, 30.0)]
    level = mixture_level(parts, risk)
    beyond = sum(
        share * (norm.sf((level - mean) / sigma) + norm.cdf((-level - mean) / sigma))
        for share, mean, sigma in parts
    )
    assert beyond == pytest.approx(risk, rel=1e-3)


def test_a_mixture_of_one_is_the_quantile() -> None:
    assert mixture_level([(1.0, 0.0, 7.0)], 1e-3) == pytest.approx(7.0 * norm.isf(5e-4), abs=2e-3)


def test_one_hypothesis_gives_the_level_of_the_covariance_widened_for_long_tails() -> None:
    covariance = np.diag([100.0, 400.0, 50.0])
    alone = Separations(np.zeros((1, 3)), covariance[None], np.ones(1), 0.0, 1.0)
    wanted = OVERBOUND * np.array(protection_levels(covariance))
    assert separated_levels(alone) == pytest.approx(wanted, abs=6e-3)


def test_separations_and_levels_cost_a_few_milliseconds() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(10))
    drawn = pulled(evidence, prior_pulls[0], pulls[0])
    spent = []
    for _ in range(20):
        start = time.perf_counter()
        separated_levels(solution_separations(drawn, AXES))
        spent.append(time.perf_counter() - start)
    assert min(spent) < 5e-3


def two_channels(rng: np.random.Generator, count: int) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """As gaussian_evidence, of landmarks and of craters that tell a quarter as much."""
    evidence, prior_pulls, _ = gaussian_evidence(rng, count)
    craters = replace(evidence, information=0.25 * evidence.information)
    joined = evidence.joined(craters)
    roots = np.linalg.cholesky(joined.information)
    pulls = (roots @ rng.normal(size=(count, len(roots), 6, 1)))[..., 0]
    return joined, prior_pulls, pulls


def test_fixes_of_two_channels_exceed_their_levels_no_more_often_than_stated() -> None:
    joined, prior_pulls, pulls = two_channels(np.random.default_rng(13), 1500)
    beyond = 0
    for prior_pull, pull in zip(prior_pulls, pulls, strict=True):
        drawn = replace(joined, prior_pull=prior_pull, pull=pull)
        error = error_of(drawn)
        horizontal, vertical = separated_levels(solution_separations(drawn, AXES), RISK)
        beyond += np.hypot(error[0], error[1]) > horizontal or abs(error[2]) > vertical
    assert beyond <= binom.ppf(0.999, len(pulls), RISK)


def test_a_channel_that_is_wrong_as_a_whole_is_told_by_the_other() -> None:
    joined, prior_pulls, pulls = two_channels(np.random.default_rng(14), 100)
    apart = []
    for prior_pull, pull in zip(prior_pulls, pulls, strict=True):
        moved = pull.copy()
        shift = AXES.T @ np.array([400.0, 0.0, 0.0])
        moved[-(PARTS_A_SIDE**2) :] += joined.information[-(PARTS_A_SIDE**2) :, :, :3] @ shift
        drawn = replace(joined, prior_pull=prior_pull, pull=moved)
        separations = solution_separations(drawn, AXES)
        horizontal, _ = separated_levels(separations)
        error = error_of(drawn)
        apart.append(max(separations.of_channels))
        assert horizontal > np.hypot(error[0], error[1])
    calm = solution_separations(
        replace(joined, prior_pull=prior_pulls[0], pull=pulls[0]), AXES
    ).of_channels
    assert len(calm) == 2 and max(calm) < 25.0 < np.median(apart)


def test_one_channel_alone_has_nothing_to_be_held_against() -> None:
    evidence, prior_pulls, pulls = gaussian_evidence(np.random.default_rng(6))
    drawn = pulled(evidence, prior_pulls[0], pulls[0])
    assert solution_separations(drawn, AXES).of_channels == ()


def test_evidence_of_two_poses_is_not_joined() -> None:
    evidence, _, _ = gaussian_evidence(np.random.default_rng(6))
    elsewhere = replace(evidence, start=evidence.start.moved(np.ones(3), np.zeros(3)))
    with pytest.raises(ValueError, match="two poses"):
        evidence.joined(elsewhere)
