"""The second look: what it says moves an ellipse in its plane; its doubts are covariances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trn.detect.crops import frames
from trn.detect.ellipses import Ellipses, mapped
from trn.detect.network_look import HostLook
from trn.detect.network_refine import refined

Array = NDArray[np.float64]
IMAGE = np.random.default_rng(0).normal(size=(200, 220)).astype(np.float32)
ROWS = np.array([
    [80.0, 90.0, 12.0, 9.0, 0.3, 0.6],
    [150.0, 40.0, 40.0, 20.0, -1.2, 0.2],
    [30.0, 120.0, 6.0, 6.0, 0.0, 0.9],
])  # fmt: skip


def looked_at(answers: Array, rows: Array = ROWS) -> tuple[Array, Array]:
    """What comes of finds that are told these answers, (9,) or (N, 9)."""
    given: list[NDArray[np.float32]] = []

    def refine(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        first = sum(len(each) for each in given)
        given.append(crops)
        told = np.broadcast_to(answers, (len(rows), 9))[first : first + len(crops)]
        return told[:, :, None, None].astype(np.float32)

    found = refined(HostLook(IMAGE, lambda image: image, refine), rows)
    assert sum(len(each) for each in given) == len(rows)
    return found


def saying(**fields: float) -> Array:
    names = ("odds", "u", "v", "size", "along", "across", "centre_off", "size_off", "shape_off")
    out = np.array([0.0] * 6 + [-3.0] * 3)
    for name, value in fields.items():
        out[names.index(name)] = value
    return out


def test_nothing_to_say_leaves_the_ellipse() -> None:
    rows, _ = looked_at(saying())
    np.testing.assert_allclose(Ellipses.of(rows[:, :5]).values[:, :4], ROWS[:, :4], rtol=1e-6)
    np.testing.assert_allclose(rows[:2, 4] % math.pi, ROWS[:2, 4] % math.pi, atol=1e-6)
    np.testing.assert_allclose(rows[:, 5], ROWS[:, 5])


def test_centres_move_along_the_ellipse_as_it_is_seen() -> None:
    """Half a diameter along the minor axis is b, and not a."""
    theta = ROWS[1, 4]
    rows, _ = looked_at(saying(u=-0.5 * math.sin(theta), v=0.5 * math.cos(theta)))
    moved = rows[1, :2] - ROWS[1, :2]
    np.testing.assert_allclose(
        moved, 20.0 * np.array([-math.sin(theta), math.cos(theta)]), rtol=1e-5
    )


def test_truth_told_is_truth_found() -> None:
    """Answers made of the true ellipse, as the refiner is trained on, give it back."""
    rng = np.random.default_rng(1)
    truth = ROWS[:, :5] * rng.uniform(0.9, 1.1, (3, 5))
    back = np.linalg.inv(frames(ROWS[:, :5]))
    local = mapped(truth, back, -(back @ ROWS[:, :2, None])[..., 0])
    stretch = np.log(local[:, 2] / local[:, 3])
    told = np.tile(saying(), (3, 1))
    told[:, 1:3] = local[:, :2]
    told[:, 3] = np.log(2.0 * np.sqrt(local[:, 2] * local[:, 3]))
    told[:, 4] = stretch * np.cos(2.0 * local[:, 4])
    told[:, 5] = stretch * np.sin(2.0 * local[:, 4])
    rows, _ = looked_at(told)
    np.testing.assert_allclose(
        Ellipses.of(rows[:, :5]).conics(), Ellipses.of(truth).conics(), rtol=1e-4, atol=1e-6
    )


def test_half_of_the_log_odds_is_added() -> None:
    rows, _ = looked_at(saying(odds=2.0))
    np.testing.assert_allclose(
        np.log(rows[:, 5] / (1.0 - rows[:, 5])),
        np.log(ROWS[:, 5] / (1.0 - ROWS[:, 5])) + 1.0, rtol=1e-6,
    )  # fmt: skip


def test_covariances_are_those_of_the_answers() -> None:
    """Drawn answers scatter the ellipses as the covariance says; where one is round, no angle."""
    rng = np.random.default_rng(2)
    one = np.tile(ROWS[:1], (4000, 1))
    told = np.tile(saying(along=0.2), (4000, 1))
    told[:, 1:6] += 0.05 * rng.normal(size=(4000, 5))
    told[:, 6:] = math.log(0.05)
    rows, covariance = looked_at(told, one)
    ellipses = Ellipses.of(rows[:, :5])
    drawn = np.cov(ellipses.values[:, :4].T)
    stated = covariance[:, :4, :4].mean(axis=0)
    np.testing.assert_allclose(np.diag(drawn), np.diag(stated), rtol=0.15)
    np.testing.assert_allclose(drawn[:2, :2], stated[:2, :2], rtol=0.2)
    np.testing.assert_array_equal(covariance, np.swapaxes(covariance, 1, 2))
    assert (np.linalg.eigvalsh(covariance) > 0.0).all()


def test_wild_answers_stay_near() -> None:
    for wild in (1e9, -1e9):
        rows, covariance = looked_at(np.full(9, wild))
        assert np.isfinite(rows).all() and np.isfinite(covariance).all()
        assert np.hypot(*(rows - ROWS)[:, :2].T).max() < 1.5 * ROWS[:, 2].max()
