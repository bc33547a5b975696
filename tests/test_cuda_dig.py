"""Craters drawn, listed and stamped by the GPU's kernels, executed on the CPU, are the CPU's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.host_cuda import shim
from tests.test_cuda_render import HEIGHT_M, tracer
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic
from trn.simulate.crater_field import CraterOctave, crater_octave, drawn
from trn.simulate.craters import EJECTA_REACH
from trn.simulate.noise import seed_word
from trn.simulate.relief_cuda import LISTED, TILE
from trn.simulate.terrain import CpuRelief
from trn.simulate.window import Window

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

SEED = seed_word(7, 2)
PLACES = [(0.0, 0.0), (0.5, 0.7), (46.5, 179.99), (-30.0, -180.0), (89.9, 12.0), (-90.0, 0.0)]


def window_at(place_deg: tuple[float, float], step_m: float, rows: int, columns: int) -> Window:
    """A window around a place, its middle a little off it."""
    latitude, longitude = np.radians(place_deg)
    frame = east_north_up(position_from_geographic(latitude, longitude, 0.0))
    first_row, first_column = -rows // 2 - 3, -columns // 2 + 5
    return Window(frame, first_row, first_column, rows, columns, step_m / REFERENCE_RADIUS_M)


def per_km2(share_covered: float, diameter_m: float) -> float:
    """Craters that make up so much of an area."""
    return share_covered / (math.pi * (0.5e-3 * diameter_m) ** 2)


def dug(
    window: Window, octaves: list[CraterOctave], strength: float = 0.9, order: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A flat window's heights with craters, by the GPU's kernels and by the CPU."""
    theirs = np.full((window.rows, window.columns), -500.0, np.float32)
    by = tracer(order)
    ours = by.device.upload(theirs)
    by.relief.dig(ours, window, octaves, strength)
    CpuRelief().dig(theirs, window, octaves, strength)
    return by.device.to_host(ours), theirs


@pytest.mark.parametrize("place_deg", PLACES)
@pytest.mark.parametrize("order", [0, 2])
def test_craters_of_several_octaves_are_the_cpus(
    place_deg: tuple[float, float], order: int
) -> None:
    window = window_at(place_deg, 30.0, 150, 131)
    octaves = [crater_octave(k, 710.0 * 2.0**-k, 3.5, SEED) for k in range(1, 4)]
    ours, theirs = dug(window, octaves, order=order)
    assert np.abs(ours - theirs).max() < HEIGHT_M
    # Sums in another order would differ in the last bits of many samples.
    assert (ours != theirs).mean() < 1e-3
    assert np.ptp(theirs) > 10.0
    assert len(drawn(window, octaves)) > 100


def test_craters_with_floors_and_peaks_are_the_cpus() -> None:
    """Wider than 15 and 25 km, some worn beyond the last shape."""
    window = window_at((28.6, 40.1), 350.0, 300, 290)
    octaves = [
        CraterOctave(k, diameter_m, per_km2(0.4, diameter_m), 0.15, SEED)
        for k, diameter_m in enumerate((21e3, 9e3, 2e3))
    ]
    ours, theirs = dug(window, octaves)
    assert np.abs(ours - theirs).max() < HEIGHT_M
    craters = drawn(window, octaves)
    assert (craters[:, 3] > 25e3).sum() > 2
    assert ((craters[:, 3] > 15e3) & (craters[:, 3] < 25e3)).sum() > 2
    assert (craters[:, 4] > 0.09).any()
    assert np.ptp(theirs) > 1000.0


def test_tiles_that_more_craters_reach_than_a_list_holds() -> None:
    window = window_at((10.0, 20.0), 5.0, 40, 50)
    octaves = [
        CraterOctave(k, 80.0, per_km2(0.5 + 0.4 * (k % 2), 80.0), 0.02, SEED) for k in range(9)
    ]
    craters = drawn(window, octaves)
    local = craters[:, :3] @ window.frame.T
    at = local[:, :2] / local[:, 2:] - [window.u0, window.v0]
    reach = EJECTA_REACH * 0.5 * craters[:, 3:4] / REFERENCE_RADIUS_M
    reached = [
        int(((at + reach > low) & (at - reach < low + TILE * window.step)).all(axis=1).sum())
        for low in (np.array([column, row]) * TILE * window.step
                    for row in range(3) for column in range(4))
    ]  # fmt: skip
    assert max(reached) > LISTED + 2
    ours, theirs = dug(window, octaves)
    assert np.abs(ours - theirs).max() < HEIGHT_M
    assert (ours != theirs).mean() < 1e-2


@pytest.mark.parametrize("shape", [(2, 2), (1, 70), (17, 16), (33, 100)])
def test_windows_of_any_shape_and_cells_without_craters(shape: tuple[int, int]) -> None:
    window = window_at((-61.0, 100.0), 8.0, *shape)
    few = [CraterOctave(3, 60.0, per_km2(0.002, 60.0), 0.04, SEED)]
    many = [CraterOctave(5, 60.0, per_km2(0.6, 60.0), 0.04, SEED)]
    for octaves in (few, many, few + many):
        ours, theirs = dug(window, octaves)
        assert np.abs(ours - theirs).max() < HEIGHT_M


def test_seed_level_and_strength_reach_the_kernels() -> None:
    window = window_at((1.0, 2.0), 10.0, 60, 60)
    octave = CraterOctave(4, 90.0, per_km2(0.5, 90.0), 0.03, SEED)
    plain, _ = dug(window, [octave])
    for other in (
        CraterOctave(5, 90.0, octave.per_km2, 0.03, SEED),
        CraterOctave(4, 90.0, octave.per_km2, 0.03, seed_word(8, 2)),
        CraterOctave(4, 90.0, octave.per_km2, 0.0, SEED),
    ):
        ours, theirs = dug(window, [other])
        assert np.abs(ours - theirs).max() < HEIGHT_M
        assert np.abs(ours - plain).max() > 0.5
    weak, _ = dug(window, [octave], 0.45)
    assert np.abs(2.0 * (weak + 500.0) - (plain + 500.0)).max() < 1e-3


def test_a_windows_craters_are_those_of_a_wider_one_that_reach_it() -> None:
    """The lattice belongs to the place: who asks decides only which of its craters are told."""
    octave = crater_octave(2, 300.0, 3.5, SEED)
    for place_deg in PLACES:
        wide, narrow = (window_at(place_deg, 30.0, side, side) for side in (1000, 300))
        every = {tuple(crater) for crater in drawn(wide, [octave])}
        some = {tuple(crater) for crater in drawn(narrow, [octave])}
        assert some < every
        assert len(every) > 3 * len(some) > 30
