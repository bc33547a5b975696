"""Made craters are found where they are, and nothing is found where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.pictured import craters_pictured
from trn.detect import detect_craters
from trn.detect.ellipses import diameters
from trn.detect.filter import normalised
from trn.detect.score import at_score, match
from trn.errors import InputError

SIDE = 320


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_normalised_pixels_have_mean_0_and_spread_1_however_deep_they_are(kind):
    image = np.random.default_rng(0).integers(20, 200, (90, 70)).astype(kind)
    pixels = normalised(image[5:, 3:])
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.0, abs=1e-6)
    assert pixels.std(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)
    assert not normalised(np.full((20, 30), 7, dtype=kind)).any()


def laid(seed: int, aspect: float, theta: float):
    """Ellipses apart from each other on a wobbly grid."""
    rng = np.random.default_rng(seed)
    spots = [(40.0 + 60.0 * i, 40.0 + 60.0 * j) for i in range(5) for j in range(5)]
    a = rng.uniform(7.0, 20.0, len(spots))
    shift = rng.uniform(-6.0, 6.0, (len(spots), 2))
    return np.column_stack([np.array(spots) + shift, a, aspect * a, np.full(len(spots), theta)])


@pytest.mark.parametrize(
    ("sun_px", "aspect", "theta"),
    [(0.0, 1.0, 0.0), (math.pi, 0.97, 1.0), (1.2, 0.85, 0.5), (-2.4, 0.8, -0.9)],
)
@pytest.mark.parametrize("told", [True, False])
def test_made_craters_are_found_with_their_ellipses(sun_px, aspect, theta, told):
    truth = laid(1, aspect, theta)
    image = craters_pictured(truth, SIDE, sun_px)
    found = detect_craters(image, sun_px=sun_px if told else None)
    matches = match(found, truth)
    precision, recall = at_score(matches, 0.4)
    assert recall >= 0.9
    assert precision >= 0.85
    size = diameters(matches.truth)
    off = matches.found[:, :2] - matches.truth[:, :2]
    assert np.median(np.hypot(*off.T) / size) < 0.03
    assert np.median(np.abs(diameters(matches.found) / size - 1.0)) < 0.08


def test_the_covariance_covers_the_error():
    nees = []
    for seed in range(4):
        truth = laid(seed, 0.9, 0.4)
        found = detect_craters(craters_pictured(truth, SIDE, 0.7, noise=8.0, seed=seed))
        matches = match(found, truth)
        off = matches.found[:, :2] - matches.truth[:, :2]
        spread = matches.covariance[:, :2, :2]
        nees.append(np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread), off))
    # Level ground is kinder than the rough one the covariance is made for.
    assert np.mean(np.concatenate(nees)) < 2.5


@pytest.mark.parametrize(
    "image",
    [
        np.full((200, 200), 90, dtype=np.uint8),
        np.zeros((200, 200), dtype=np.float32),
        np.tile(np.linspace(0, 4000, 200), (200, 1)).astype(np.uint16),
        np.full((64, 64), np.nan),
        np.full((5, 5), 3, dtype=np.uint8),
        np.eye(3),
    ],
    ids=["flat", "black", "ramp", "nan", "tiny", "smaller"],
)
def test_nothing_is_found_where_nothing_is(image):
    assert len(detect_craters(image)) == 0


def test_noise_has_hardly_a_crater():
    noise = np.random.default_rng(5).normal(100.0, 10.0, (400, 400))
    found = detect_craters(noise.astype(np.uint8))
    # One in 100 x 100 pixels would already be too many.
    assert len(found) <= 4


def test_depth_exposure_and_holes_do_not_matter():
    truth = laid(2, 0.9, 0.2)
    image = craters_pictured(truth, SIDE, 0.5)
    found = detect_craters(image)
    for other in (
        image.astype(np.uint16) * 200,
        image.astype(np.float32) * 1e-6,
        image.astype(np.float64) * 1e9 + 5.0,
    ):
        again = detect_craters(other)
        assert len(again) == len(found)
        np.testing.assert_allclose(again.values[:, :2], found.values[:, :2], atol=0.05)
    holed = image.astype(np.float64)
    holed[:20, :20] = np.nan
    holed[0, 0] = np.inf
    assert len(detect_craters(holed)) > 0.8 * len(found)


def test_the_same_image_gives_the_same_craters():
    image = craters_pictured(laid(3, 0.9, 0.2), SIDE, 0.5)
    before = image.copy()
    one, other = detect_craters(image), detect_craters(image)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.score, other.score)
    np.testing.assert_array_equal(image, before)
    assert (np.diff(one.score) <= 0.0).all()
    assert one.covariance is not None
    assert (np.linalg.eigvalsh(one.covariance) > 0.0).all()


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), {}, "one grey channel"),
        (np.zeros((0, 4), np.uint8), {}, "one grey channel"),
        (np.zeros((40, 40), np.int32), {}, "pixels of type"),
        (np.zeros((40, 40), np.uint8), {"sun_px": math.nan}, "sun_px"),
        (np.zeros((40, 40), np.uint8), {"smallest_px": 1.0}, "smallest_px"),
        (np.zeros((40, 40), np.uint8), {"largest_px": 2.0}, "largest_px"),
        (np.zeros((40, 40), np.uint8), {"least_score": 1.5}, "least_score"),
    ],
)
def test_bad_input_is_named(image, options, says):
    with pytest.raises(InputError, match=says):
        detect_craters(image, **options)
