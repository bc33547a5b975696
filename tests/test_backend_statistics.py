"""The compiled statistics of a frame are their definitions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.backend.cpu_statistics import pixel_statistics, statistics


@settings(max_examples=40, deadline=None)  # The first call compiles.
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 40), st.booleans())
def test_statistics_of_pixels_are_their_definitions(
    seed: int, rows: int, columns: int, blurred: bool
) -> None:
    values = np.random.default_rng(seed).integers(0, 65536, (rows, columns)).astype(np.float32)
    if blurred:
        values = cv2.GaussianBlur(values, (0, 0), 1.0)
    black, saturated = np.float32(20_000.0), np.float32(50_000.0)
    wide = values.astype(np.float64)
    fine = wide - wide.mean()
    neighbours = (fine[:, 1:] * fine[:, :-1]).mean() + (fine[1:] * fine[:-1]).mean()
    expected = (wide <= black).mean(), (wide >= saturated).mean(), wide.var(), 0.5 * neighbours
    found = pixel_statistics(values, black, saturated)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


def test_slopes_are_those_of_a_plane_and_lie_along_its_stripes() -> None:
    y, x = np.mgrid[0:200, 0:300].astype(np.float32)
    xx, yy, xy = statistics(3.0 * x - 2.0 * y, 0.0, 1e4).slopes
    # At the border the plane is averaged with its mirror image.
    assert xx / yy == pytest.approx(2.25, rel=0.02)
    assert xy / yy == pytest.approx(-1.5, rel=0.02)
