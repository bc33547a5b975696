"""Ellipses that take part: finite, single, the largest."""

from __future__ import annotations

import numpy as np

from trn.detect import Ellipses
from trn.identify.usable import MOST_ELLIPSES, usable_ellipses


def test_broken_and_repeated_ellipses_are_left_out() -> None:
    values = np.array(
        [
            [10.0, 10.0, 8.0, 6.0, 0.1],
            [np.nan, 10.0, 8.0, 6.0, 0.1],
            [10.2, 9.9, 8.1, 6.2, 0.3],
            [10.0, 12.0, 8.0, 6.0, 0.1],
            [10.0, 10.0, 8.0, 0.0, 0.1],
        ]
    )
    assert list(usable_ellipses(Ellipses(values, np.ones(5)))) == [0, 3]


def test_of_very_many_the_largest_stay() -> None:
    generator = np.random.default_rng(0)
    values = np.column_stack(
        [generator.uniform(0, 1e4, (5000, 2)), np.linspace(1, 9, 5000), np.ones(5000) * 0.9,
         np.zeros(5000)]
    )  # fmt: skip
    kept = usable_ellipses(Ellipses(values, np.ones(5000)))
    assert len(kept) <= MOST_ELLIPSES and kept.min() >= 5000 - MOST_ELLIPSES
    assert (np.diff(kept) > 0).all()
