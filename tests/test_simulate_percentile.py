"""Percentiles by counting are NumPy's, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from trn.simulate.percentile import percentiles_over


@pytest.mark.parametrize("seed", range(30))
def test_percentiles_are_numpys(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 60, 2))
    values = (10.0 ** random.uniform(-6, 1) * random.exponential(1.0, shape)).astype(np.float32)
    if seed % 3 == 0:  # many alike
        values = np.round(values, 1 + seed % 4)
    if seed % 5 == 0:
        values[random.random(shape) < 0.5] = 0.0
    least = 0.02 * float(values.max())
    percents = (50.0, float(random.uniform(0.0, 100.0)), 98.0, 0.0, 100.0)
    over = values[values > least]
    found = percentiles_over(values, least, percents)
    if not over.size:
        assert found is None
        return
    assert found == [float(value) for value in np.percentile(over, percents)]


def test_what_is_not_greater_does_not_count() -> None:
    least = np.float32(0.1)
    values = np.array([[-5.0, 0.0, least], [0.25, np.nextafter(least, 1), 1e30]], np.float32)
    assert percentiles_over(values, float(least), (0.0, 50.0)) == [
        float(np.nextafter(least, np.float32(1))),
        0.25,
    ]
    assert percentiles_over(values, 2e30, (50.0,)) is None
    assert (
        percentiles_over(np.full((3, 4), 0.3, np.float32), 0.0, (2.0, 98.0))
        == [float(np.float32(0.3))] * 2
    )


def test_the_order_of_the_percents_is_kept() -> None:
    values = np.arange(1.0, 102.0, dtype=np.float32)[::-1]
    assert percentiles_over(values, 0.5, (98.0, 50.0, 7.0)) == [99.0, 51.0, 8.0]
