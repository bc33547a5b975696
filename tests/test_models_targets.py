"""Training crops: labels stay on their craters, and only those of 8 px and more are asked for."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.targets import LEAST_PX, MOST_PX, PLACE_PX, Scenes, batch, crop, mapped, targets

Array = NDArray[np.float64]


def asked(craters: Array, side: int = 48) -> dict[str, NDArray[np.float32]]:
    out = {
        "heat": np.zeros((side, side), np.float32),
        "weight": np.zeros((side, side), np.float32),
        "values": np.zeros((5, side, side), np.float32),
        "share": np.zeros((side, side), np.float32),
    }
    targets(craters, out["heat"], out["weight"], out["values"], out["share"])
    return out


def rim(ellipse: Array, count: int = 40) -> Array:
    x, y, a, b, theta = ellipse
    t = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
    along, across = a * np.cos(t), b * np.sin(t)
    c, s = math.cos(theta), math.sin(theta)
    return np.column_stack([x + c * along - s * across, y + s * along + c * across])


def test_a_mapped_ellipse_has_the_mapped_rim() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ellipse = np.array([*rng.uniform(-50, 50, 2), 9.0, rng.uniform(3, 9), rng.uniform(-3, 3)])
        forward, shift = rng.normal(size=(2, 2)), rng.normal(size=2)
        x, y, a, b, theta = mapped(ellipse[None], forward, shift)[0]
        assert a >= b
        off = rim(ellipse) @ forward.T + shift - [x, y]
        c, s = math.cos(theta), math.sin(theta)
        inner = np.hypot((off @ [c, s]) / a, (off @ [-s, c]) / b)
        np.testing.assert_allclose(inner, 1.0, atol=1e-6)


@pytest.mark.parametrize("warped", [0.0, 1.0])
def test_labels_stay_on_what_they_label(warped: float) -> None:
    """Bright ellipses on dark ground: their moments in the crop are the label's."""
    truth = np.array([160.0, 155.0, 40.0, 26.0, 0.7])
    image = np.full((320, 320), 60, np.uint8)
    cv2.fillPoly(image, [np.rint(16.0 * rim(truth, 400)).astype(np.int32)], 180, shift=4)
    scenes = Scenes([image], [np.append(truth, 1.0)[None]])
    ratios = []
    for seed in range(40):
        part, craters = crop(scenes, 192, warped, np.random.default_rng(seed))
        x, y, a, b, theta, seen = craters[0]
        assert seen == 1.0
        if min(x, y, 191 - x, 191 - y) < a + 2.0:
            continue
        bright = part > 0.5 * (part.min() + part.max())
        v, u = np.nonzero(cv2.medianBlur(bright.astype(np.uint8), 5))
        assert (u.mean(), v.mean()) == pytest.approx((x, y), abs=0.6)
        values, vectors = np.linalg.eigh(np.cov(u, v))
        assert 2.0 * np.sqrt(values) == pytest.approx([b, a], rel=0.06)
        if a > 1.3 * b:
            turn = math.atan2(vectors[1, 1], vectors[0, 1]) - theta
            assert abs((turn + 0.5 * math.pi) % math.pi - 0.5 * math.pi) < 0.08
        ratios.append(a / b)
    assert len(ratios) > 10
    assert (np.ptp(ratios) > 0.3) == (warped == 1.0)


def test_a_label_is_asked_for_where_its_centre_is() -> None:
    wanted = asked(np.array([[40.6, 31.0, 10.0, 8.0, 0.4, 1.0]]))
    row, column = np.argwhere(wanted["heat"] == 1.0)[0]
    dx, dy, size, along, across = wanted["values"][:, row, column]
    assert (column + 0.5) * PLACE_PX - 0.5 + dx == pytest.approx(40.6, abs=1e-5)
    assert (row + 0.5) * PLACE_PX - 0.5 + dy == pytest.approx(31.0, abs=1e-5)
    assert 8.0 * math.exp(size) == pytest.approx(math.sqrt(80.0), rel=1e-5)
    assert math.hypot(along, across) == pytest.approx(math.log(10.0 / 8.0), rel=1e-5)
    assert 0.5 * math.atan2(across, along) == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize(
    ("diameter", "seen"), [(LEAST_PX - 0.5, 1.0), (MOST_PX + 1.0, 1.0), (20.0, 0.0)]
)
def test_what_is_not_asked_for_is_neither_right_nor_wrong(diameter: float, seen: float) -> None:
    radius = 0.5 * diameter
    wanted = asked(np.array([[47.0, 47.0, radius, radius, 0.0, seen]]))
    assert not wanted["heat"].any() and not wanted["share"].any()
    assert wanted["weight"][23, 23] == 0.0
    assert wanted["weight"][0, 0] == 1.0


def test_a_batch_depends_on_its_generator_alone() -> None:
    image = np.random.default_rng(3).integers(0, 255, (96, 96)).astype(np.uint8)
    scenes = Scenes([image], [np.array([[48.0, 48.0, 9.0, 8.0, 0.2, 1.0]])])
    first, second = (batch(scenes, 3, 64, 0.6, np.random.default_rng(5)) for _ in range(2))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
