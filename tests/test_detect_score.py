"""Scores are what their definitions say, on cases that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.detect import Ellipses
from trn.detect.score import (
    at_score,
    challenge_score,
    f1,
    gaussian_angles,
    match,
    precision_recall,
)
from trn.detect.suppress import boxes, overlap, suppress

one_ellipse = st.tuples(
    st.floats(-50.0, 50.0), st.floats(-50.0, 50.0), st.floats(2.0, 40.0), st.floats(2.0, 40.0),
    st.floats(-1.5, 1.5),
)  # fmt: skip
some = st.lists(one_ellipse, min_size=1, max_size=6).map(lambda rows: Ellipses.of(rows).values)


@given(some)
def test_boxes_touch_the_rim(values):
    t = np.linspace(0.0, 2.0 * math.pi, 3601)
    for row, box in zip(values, boxes(values)):
        x, y, a, b, theta = row
        rim_x = x + a * np.cos(t) * math.cos(theta) - b * np.sin(t) * math.sin(theta)
        rim_y = y + a * np.cos(t) * math.sin(theta) + b * np.sin(t) * math.cos(theta)
        span = [rim_x.min(), rim_y.min(), rim_x.max(), rim_y.max()]
        np.testing.assert_allclose(box, span, atol=1e-4 * a)


@given(some, some)
def test_overlap_is_symmetric_and_whole_with_itself(one, other):
    np.testing.assert_allclose(
        overlap(boxes(one), boxes(other)), overlap(boxes(other), boxes(one)).T
    )
    np.testing.assert_allclose(np.diag(overlap(boxes(one), boxes(one))), 1.0)


@given(some, st.floats(0.1, 0.9))
def test_suppression_leaves_no_two_alike(values, most):
    score = np.linspace(0.2, 0.9, len(values))
    kept = suppress(values, score, most)
    shared = overlap(boxes(values[kept]), boxes(values[kept])) - np.eye(len(kept))
    assert (shared <= most + 1e-12).all()
    assert kept[0] == len(values) - 1


@settings(max_examples=50)
@given(some, some, st.floats(-3.0, 3.0), st.floats(0.2, 5.0))
def test_gaussian_angle_is_a_distance_that_no_motion_changes(one, other, turn, scale):
    angle = gaussian_angles(one, other)
    assert ((angle >= 0.0) & (angle <= 0.5 * math.pi)).all()
    np.testing.assert_allclose(angle, gaussian_angles(other, one).T, atol=1e-6)
    np.testing.assert_allclose(np.diag(gaussian_angles(one, one)), 0.0, atol=1e-5)

    def moved(values):
        out = values.copy()
        c, s = math.cos(turn), math.sin(turn)
        out[:, :2] = scale * values[:, :2] @ np.array([[c, s], [-s, c]]) + [7.0, -3.0]
        out[:, 2:4] *= scale
        out[:, 4] += turn
        return out

    np.testing.assert_allclose(gaussian_angles(moved(one), moved(other)), angle, atol=1e-5)


def test_gaussian_angle_of_circles_by_hand():
    circles = np.array([[0.0, 0.0, 10.0, 10.0, 0.0], [5.0, 0.0, 10.0, 10.0, 0.0]])
    # Equal circles: cos d = exp(-distance^2 / (4 r^2)); concentric: 2 r s / (r^2 + s^2), squared.
    assert gaussian_angles(circles[:1], circles[1:])[0, 0] == pytest.approx(
        math.acos(math.exp(-25.0 / 400.0))
    )
    half = np.array([[0.0, 0.0, 5.0, 5.0, 0.0]])
    assert gaussian_angles(circles[:1], half)[0, 0] == pytest.approx(
        math.acos(4.0 * 100.0 * 25.0 / 125.0**2)
    )


def test_challenge_score_by_hand():
    truth = np.array([[50.0 * k, 0.0, 10.0, 10.0, 0.0] for k in range(4)])
    assert challenge_score(Ellipses.of(truth), truth) == pytest.approx(1.0)
    # Two of four labels found, and two false alarms: 2 / 4 finds times 2 / 4 labels.
    half = truth.copy()
    half[2:, 1] = 500.0
    assert challenge_score(Ellipses.of(half), truth) == pytest.approx(0.25)
    # 5 pixels off a circle of 10 is outside the gate: 0.352^2 / 0.0595^2 is 35.
    off = truth + np.array([5.0, 0.0, 0.0, 0.0, 0.0])
    assert challenge_score(Ellipses.of(off), truth) == 0.0
    none = Ellipses.of(np.empty((0, 5)))
    assert challenge_score(none, truth) == 0.0
    assert challenge_score(none, np.empty((0, 5))) == 1.0
    assert challenge_score(Ellipses.of(truth), np.empty((0, 5))) == 0.0


def test_matching_is_one_to_one_and_surest_first():
    truth = np.array([[50.0, 50.0, 10.0, 10.0, 0.0]])
    found = Ellipses.of([[51.0, 50.0, 10.0, 10.0, 0.0], [50.0, 50.0, 10.0, 10.0, 0.0]], [0.9, 0.5])
    matches = match(found, truth)
    assert matches.right.tolist() == [True, False]
    assert at_score(matches, 0.0) == (0.5, 1.0)
    assert at_score(matches, 0.95) == (1.0, 0.0)


def test_what_is_ignored_or_out_of_size_does_not_count():
    truth = np.array([[50.0, 50.0, 10.0, 10.0, 0.0], [90.0, 90.0, 2.0, 2.0, 0.0]])
    ignored = np.array([[20.0, 20.0, 10.0, 10.0, 0.0]])
    found = Ellipses.of(np.concatenate([truth, ignored, [[150.0, 20.0, 10.0, 10.0, 0.0]]]))
    matches = match(found, truth, ignored, (10.0, 100.0))
    assert matches.labels == 1
    assert sorted(matches.right.tolist()) == [False, True]


def test_precision_and_recall_along_the_scores():
    truth = np.array([[50.0 * k, 0.0, 10.0, 10.0, 0.0] for k in range(4)])
    found = truth[:3].copy()
    found[1, 1] = 300.0
    score, precision, recall = precision_recall(match(Ellipses.of(found, [0.9, 0.8, 0.7]), truth))
    np.testing.assert_allclose(score, [0.9, 0.8, 0.7])
    np.testing.assert_allclose(precision, [1.0, 0.5, 2.0 / 3.0])
    np.testing.assert_allclose(recall, [0.25, 0.25, 0.5])
    np.testing.assert_allclose(f1(precision, recall)[0], 0.4)
    assert float(f1(0.0, 0.0)) == 0.0
