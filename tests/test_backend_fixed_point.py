"""The model of the FPGA core is zero-mean NCC, in whole numbers and exactly ranked."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trn.backend import fixed_point
from trn.backend.fixed_point import frame_levels, placements, ranked, search, template_levels

LEVELS = st.integers(0, 255)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_numerators_and_energies_are_their_definitions(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 6))
    shape = (size + data.draw(st.integers(0, 4)), size + data.draw(st.integers(0, 4)))
    window = data.draw(arrays.arrays(np.uint8, shape, elements=LEVELS))
    template = data.draw(arrays.arrays(np.uint8, (size, size), elements=LEVELS))
    numerators, energies = placements(window, template)
    assert numerators.shape == (shape[0] - size + 1, shape[1] - size + 1)
    tried = np.lib.stride_tricks.sliding_window_view(window, (size, size)).astype(object)
    pattern = template.astype(object)
    for y, x in np.ndindex(numerators.shape):
        pixels = tried[y, x]
        count = size * size
        assert numerators[y, x] == count * (pattern * pixels).sum() - pattern.sum() * pixels.sum()
        assert energies[y, x] == count * (pixels * pixels).sum() - pixels.sum() ** 2


@pytest.mark.parametrize("size", [32, fixed_point.MOST_SIDE_PX])
def test_extreme_pixels_stay_within_the_cores_36_bits(size: int) -> None:
    board = 255 * (np.indices((size + 1, size + 1)).sum(axis=0) % 2).astype(np.uint8)
    white = np.full((size, size), 255, np.uint8)
    numerators, energies = placements(board, board[:size, :size])
    assert 2**33 < energies.max() < 2**36
    # The board moved by one pixel is its negative.
    assert numerators[0, 0] == energies[0, 0]
    assert numerators[0, 1] < 0 < numerators[1, 1]
    assert not placements(white, board[:size, :size])[1].any()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_ranking_is_exact(data: st.DataObject) -> None:
    # Few values and large ones, so that ratios are often equal or next to equal.
    near = st.one_of(st.integers(-3, 3), st.integers(2**34 - 2, 2**34 + 2))
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    numerators = data.draw(arrays.arrays(np.int64, shape, elements=near))
    energies = data.draw(arrays.arrays(np.int64, shape, elements=near.map(lambda e: max(1, e))))
    exclusion = data.draw(st.integers(0, 2))
    found = ranked(numerators, energies, exclusion)

    def rank(place: tuple[int, int]) -> Fraction:
        return Fraction(max(int(numerators[place]), 0) ** 2, int(energies[place]))

    places = list(np.ndindex(shape))
    best = max(places, key=rank)
    assert found.found == (rank(best) > 0)
    if not found.found:
        return
    assert (found.y, found.x) == best
    assert found.numerators[1, 1] == numerators[best]
    away = [p for p in places if max(abs(p[0] - best[0]), abs(p[1] - best[1])) > exclusion]
    second = max(away, key=rank, default=None)
    if second is None or rank(second) == 0:
        assert (found.second_numerator, found.second_energy) == (0, 0)
    else:
        assert found.second_numerator == numerators[second]
        assert found.second_energy == energies[second]


def test_what_lies_beyond_the_window_is_zero() -> None:
    rng = np.random.default_rng(5)
    template = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    window = rng.integers(0, 256, (12, 14), dtype=np.uint8)
    window[:8, 6:14] = template
    found = search(window, template, 2)
    assert (found.x, found.y) == (6, 0)
    assert found.numerators[1, 1] == found.energies[1, 1]
    assert not found.energies[0].any() and not found.energies[:, 2].any()
    assert found.energies[1:, :2].all()


def test_a_flat_window_or_template_is_found_nowhere() -> None:
    rng = np.random.default_rng(6)
    noise = rng.integers(0, 256, (20, 20), dtype=np.uint8)
    flat = np.full((20, 20), 77, np.uint8)
    assert not search(flat, noise[:8, :8], 2).found
    assert not search(noise, flat[:8, :8], 2).found


def test_levels_keep_the_picture_and_mark_the_unknown_as_its_mean() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(3.0, 0.5, (50, 60)).astype(np.float32)
    levels = frame_levels(image)
    assert levels.dtype == np.uint8
    assert np.corrcoef(levels.ravel(), image.ravel())[0, 1] > 0.9995
    image[4, 5] = np.nan
    assert frame_levels(image)[4, 5] == 128
    assert (frame_levels(np.full((3, 3), 2.5, np.float32)) == 128).all()
    assert (frame_levels(np.full((3, 3), np.nan, np.float32)) == 128).all()
    image[7, 7] = 9.0
    assert frame_levels(image, bits=5).max() == frame_levels(image, bits=5)[7, 7] == 31


def test_a_templates_levels_use_the_full_range() -> None:
    template = np.linspace(-0.2, 0.1, 64, dtype=np.float32).reshape(8, 8)
    levels = template_levels(template)
    assert (levels.min(), levels.max()) == (0, 255)
    assert template_levels(template, bits=4).max() == 15
    assert not template_levels(np.full((8, 8), 3.0, np.float32)).any()
