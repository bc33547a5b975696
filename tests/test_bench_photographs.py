"""Hand-drawn boxes are judged by how the other images' were drawn, catalogues by the true rims."""

from __future__ import annotations

import numpy as np
import pytest

from bench.photographs import _against, box_margins
from trn.detect import Ellipses


def rims(count: int, seed: int) -> np.ndarray:
    """Circles on a grid, 6 to 20 px wide, that do not overlap."""
    radius = np.random.default_rng(seed).uniform(3.0, 10.0, count)
    place = 40.0 * np.stack(np.divmod(np.arange(count), 10), -1)
    return np.column_stack([place, radius, radius, np.zeros(count)])


def drawn(values: np.ndarray, margin: float) -> np.ndarray:
    return values * np.array([1.0, 1.0, margin, margin, 1.0])


def test_the_margin_of_an_image_is_that_of_all_others():
    truth = [rims(60, seed) for seed in range(3)]
    finds = [Ellipses.of(values) for values in truth]
    labels = [drawn(values, margin) for values, margin in zip(truth, (1.3, 1.4, 1.4))]
    margins = box_margins(finds, labels, 0.4)
    assert margins[0] == pytest.approx(1.4)
    assert 1.3 <= margins[1] <= 1.4 and margins[1] == pytest.approx(margins[2], abs=0.1)
    labels[0] = drawn(truth[0], 1.8)
    assert box_margins(finds, labels, 0.4)[0] == margins[0]


def test_unsure_finds_say_nothing_about_the_margin():
    truth = [rims(60, seed) for seed in range(2)]
    labels = [drawn(values, 1.5) for values in truth]
    both = [
        Ellipses.of(np.concatenate([values, drawn(values, 1.2)]), np.repeat([0.9, 0.1], 60))
        for values in truth
    ]
    assert box_margins(both, labels, 0.4) == pytest.approx([1.5, 1.5])


def test_a_listed_crater_is_found_where_centre_and_size_are_near():
    listed = rims(3, 0)
    found = drawn(listed, 0.95)
    found[0, 0] += 2.0
    found[2, 2:4] *= 2.0
    growth, apart = _against(found, listed)
    np.testing.assert_allclose(growth, [0.95, 0.95])
    np.testing.assert_allclose(apart, [2.0 / (2.0 * listed[0, 2]), 0.0], atol=1e-12)
