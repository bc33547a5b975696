"""The small algebra is LAPACK's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.solve.linear import inverse, median, principal_axes

seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)  # The first call compiles.
@given(seeds, st.integers(1, 7))
def test_an_inverse_is_lapacks_whatever_the_units(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size)) + 2.0 * np.eye(size)
    units = 10.0 ** rng.uniform(-5, 5, size)
    matrix = units[:, None] * (root @ root.T + 0.1 * np.eye(size)) * units
    found = units[:, None] * inverse(matrix) * units
    expected = np.linalg.inv(matrix / np.outer(units, units))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_a_matrix_need_not_be_positive_definite_to_be_inverted() -> None:
    matrix = np.array([[1.0, 2.0, 0.5], [2.0, 1.0, -3.0], [0.5, -3.0, 2.0]])
    np.testing.assert_allclose(inverse(matrix), np.linalg.inv(matrix), rtol=1e-12)
    assert np.isnan(inverse(np.full((6, 6), np.nan))).all()


@pytest.mark.parametrize("matrix", [np.zeros((6, 6)), np.ones((2, 2)), np.diag([1.0, 0.0, 2.0])])
def test_a_singular_matrix_has_no_inverse(matrix: np.ndarray) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        inverse(matrix)


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(-5, 5), st.just(np.inf), st.integers(0, 3)), min_size=1))
def test_a_median_is_numpys(values: list[float]) -> None:
    given = np.array(values, dtype=np.float64)
    before = given.copy()
    assert median(given) == np.median(given)
    assert (given == before).all()


@settings(deadline=None)
@given(seeds, st.integers(1, 6), st.integers(0, 6))
def test_principal_axes_make_the_matrix(seed: int, size: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, min(rank, size)))
    matrix = root @ root.T
    values, axes = principal_axes(matrix)
    np.testing.assert_allclose(axes @ axes.T, np.eye(size), atol=1e-13)
    np.testing.assert_allclose(axes * values @ axes.T, matrix, atol=1e-12)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(matrix), atol=1e-12)
