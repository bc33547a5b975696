"""Ranges to the map are those of a brute-force march; what is below is the map's own ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.cliff import (
    HEIGHT_SIGMA_M,
    HOLE_DEG,
    LATITUDE_DEG,
    LONGITUDE_EAST_DEG,
    PIXELS_PER_DEGREE,
    cliff_map,
    cliff_ranges,
    ground_m,
    place,
)
from trn.altimetry.terrain import CORRELATION_PX, CRATERED_SHARE, REACH_M, MapRanges
from trn.backend.cpu import CpuBackend
from trn.maps.lunar_map import LunarMap
from trn.maps.tile import MapTile, cut_tile
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, geographic_from_position

Array = NDArray[np.float64]

GENTLE = st.tuples(st.floats(9.75, 10.4), st.sampled_from([-1.0, 1.0]), st.floats(0.25, 0.4))
"""Latitude, side of the rim and distance from it, degrees: no beam from there meets rim or hole."""
MOST_SLOPE = 0.12
"""Of the gentle relief."""


def beam(position_m: Array, tilt_deg: float, toward_deg: float) -> Array:
    """A unit direction, (3,), body-fixed: down, tilted toward an azimuth counted from north."""
    tilt, toward = np.deg2rad(tilt_deg), np.deg2rad(toward_deg)
    local = [np.sin(tilt) * np.sin(toward), np.sin(tilt) * np.cos(toward), -np.cos(tilt)]
    return np.asarray(np.array(local) @ east_north_up(position_m))


def first_below(clearance_m: Array, t: Array) -> float:
    """Where a clearance along a beam first passes zero, between two steps of a straight line; NaN
    where it never does."""
    under = np.flatnonzero(clearance_m <= 0.0)
    if not under.size:
        return float("nan")
    k = int(under[0])
    before, after = clearance_m[k - 1], clearance_m[k]
    return float(t[k - 1] + (t[k] - t[k - 1]) * before / (before - after))


def march_over_map(moon_map: LunarMap, origin: Array, direction: Array) -> float:
    """Range by steps of 2 m over the map's own heights."""
    t = np.arange(0.0, 12_000.0, 2.0)
    latitude, longitude, height = geographic_from_position(origin + t[:, None] * direction)
    ground = moon_map.height(np.rad2deg(latitude), np.rad2deg(longitude))
    return first_below(height - ground, t)


def march_over_grid(tile: MapTile, origin: Array, direction: Array) -> float:
    """Range by steps of 0.5 m over the bilinear surface of a tile."""
    t = np.arange(0.0, 14_000.0, 0.5)
    p = tile.grid.to_local(origin + t[:, None] * direction)
    surface = tile.surface
    column = (p[:, 0] / p[:, 2] - surface.x0) / surface.step
    row = (p[:, 1] / p[:, 2] - surface.y0) / surface.step
    i, j = np.floor(row).astype(int), np.floor(column).astype(int)
    v, u = row - i, column - j
    h = surface.heights_m.astype(float)
    upper = h[i, j] * (1 - u) + h[i, j + 1] * u
    lower = h[i + 1, j] * (1 - u) + h[i + 1, j + 1] * u
    ground = upper * (1 - v) + lower * v
    return first_below(np.linalg.norm(p, axis=1) - surface.radius_m - ground, t)


def interpolations_apart_m(place_m: Array) -> float:
    """How far the tile's surface and the map's may be apart in height at a place, from the ground's
    second differences within two pixels of it.

    The map's bilinear surface has kinks as large as those; a chord of the tile between two points
    of it, about a pixel apart, cuts a kink by a quarter of it at most.
    """
    pixel = 1.0 / PIXELS_PER_DEGREE
    latitude, longitude, _ = geographic_from_position(place_m)
    around = np.arange(-3, 4) * pixel
    h = ground_m(
        np.rad2deg(latitude) + around[:, None],
        np.rad2deg(longitude) + around[None, :] / np.cos(latitude),
    )
    bend = sum(np.abs(np.diff(h, 2, axis=axis)).max() for axis in range(2))
    return float(0.25 * bend)


@settings(max_examples=25, deadline=None)
@given(
    at=GENTLE,
    height_m=st.floats(3_500, 8_000),
    tilt_deg=st.sampled_from([0.0, 10.0, 35.0]),
    toward_deg=st.floats(0, 360),
)
def test_on_gentle_ground_a_range_is_that_of_a_march_over_the_map(
    cliff: MapRanges,
    cliff_folder: Path,
    cliff_tile: MapTile,
    at: tuple[float, float, float],
    height_m: float,
    tilt_deg: float,
    toward_deg: float,
) -> None:
    latitude, side, away = at
    origin = place(latitude, LONGITUDE_EAST_DEG + side * away, height_m)
    direction = beam(origin, tilt_deg, toward_deg)
    found = float(cliff.ranges_m(origin[None], direction[None])[0])
    assert found == pytest.approx(march_over_grid(cliff_tile, origin, direction), abs=1e-3)
    tilt = np.deg2rad(tilt_deg)
    gain = 1.0 / (np.cos(tilt) - MOST_SLOPE * np.sin(tilt))
    apart_m = gain * interpolations_apart_m(origin + found * direction)
    over_map = march_over_map(cliff_map(cliff_folder), origin, direction)
    assert found == pytest.approx(over_map, abs=apart_m + 0.02)


@settings(max_examples=25, deadline=None)
@given(
    away_deg=st.floats(-0.05, 0.05),
    height_m=st.floats(3_500, 8_000),
    tilt_deg=st.sampled_from([0.0, 20.0, 50.0]),
    toward_deg=st.floats(0, 360),
)
def test_at_the_cliff_a_range_is_that_of_a_march_over_the_grid(
    cliff: MapRanges,
    cliff_tile: MapTile,
    away_deg: float,
    height_m: float,
    tilt_deg: float,
    toward_deg: float,
) -> None:
    origin = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + away_deg, height_m)
    direction = beam(origin, tilt_deg, toward_deg)
    found = float(cliff.ranges_m(origin[None], direction[None])[0])
    assert found == pytest.approx(march_over_grid(cliff_tile, origin, direction), abs=1e-3)


@pytest.fixture(scope="module")
def cliff_tile(cliff_folder: Path) -> MapTile:
    moon_map = cliff_map(cliff_folder)
    reach = REACH_M / REFERENCE_RADIUS_M
    centre = place(LATITUDE_DEG, LONGITUDE_EAST_DEG, 0.0)
    return cut_tile(moon_map, centre, (-reach, reach, -reach, reach), moon_map.resolution_m)


def test_many_places_at_once_are_each_as_if_alone(cliff: MapRanges) -> None:
    rng = np.random.default_rng(4)
    origins = np.array(
        [
            place(LATITUDE_DEG + north, LONGITUDE_EAST_DEG + east, height)
            for north, east, height in zip(
                rng.uniform(-0.05, 0.05, 40), rng.uniform(-0.05, 0.05, 40),
                rng.uniform(3_500, 6_000, 40),
            )
        ]
    )  # fmt: skip
    directions = np.array([beam(origin, rng.uniform(0, 40), 50.0) for origin in origins])
    together = cliff.ranges_m(origins, directions)
    alone = [cliff.ranges_m(o[None], d[None])[0] for o, d in zip(origins, directions)]
    assert np.isfinite(together).all()
    assert together == pytest.approx(alone, abs=1e-6)


def test_a_range_goes_on_below_zero_where_a_place_is_under_the_ground(cliff: MapRanges) -> None:
    here = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + 0.3, 0.0)
    ground = cliff.below(here).height_m
    over = np.arange(-300.0, 301.0, 20.0)
    origins = np.array([place(LATITUDE_DEG, LONGITUDE_EAST_DEG + 0.3, ground + h) for h in over])
    down = -here / np.linalg.norm(here)
    assert cliff.ranges_m(origins, np.tile(down, (len(over), 1))) == pytest.approx(over, abs=1e-3)


def test_holes_and_what_is_outside_the_map_give_no_range(cliff: MapRanges) -> None:
    south, north, west, east = HOLE_DEG
    for latitude, longitude in [
        (0.5 * (south + north), 0.5 * (west + east)),
        (LATITUDE_DEG + 1.4, LONGITUDE_EAST_DEG),
        (LATITUDE_DEG, LONGITUDE_EAST_DEG - 1.4),
        (-60.0, 170.0),
    ]:
        origin = place(latitude, longitude, 5_000.0)
        assert np.isnan(cliff.ranges_m(origin[None], beam(origin, 0.0, 0.0)[None])).all()
        assert np.isnan(cliff.below(origin).height_m)
        assert cliff.below(origin).sigma_m > 0.0


@settings(max_examples=30, deadline=None)
@given(at=GENTLE)
def test_what_is_below_is_the_maps_height_and_its_slope(
    cliff: MapRanges, cliff_folder: Path, at: tuple[float, float, float]
) -> None:
    latitude, longitude = at[0], LONGITUDE_EAST_DEG + at[1] * at[2]
    position = place(latitude, longitude, 5_000.0)
    moon_map = cliff_map(cliff_folder)
    ground = cliff.below(position)
    assert ground.height_m == pytest.approx(moon_map.height(latitude, longitude), abs=0.3)
    # Over two pixels, since the slope of a bilinear surface jumps at each node.
    step_deg = 1.0 / PIXELS_PER_DEGREE
    step_m = np.deg2rad(step_deg) * (REFERENCE_RADIUS_M + ground.height_m)
    by_north = moon_map.height(latitude + step_deg, longitude) - moon_map.height(
        latitude - step_deg, longitude
    )
    by_east = moon_map.height(latitude, longitude + step_deg) - moon_map.height(
        latitude, longitude - step_deg
    )
    east, north, up = east_north_up(position) @ ground.gradient
    assert north == pytest.approx(by_north / (2 * step_m), abs=0.005)
    assert east == pytest.approx(by_east / (2 * step_m * np.cos(np.deg2rad(latitude))), abs=0.005)
    assert abs(up) < 0.02 * np.hypot(east, north) + 1e-6


def test_the_map_is_less_sure_of_itself_at_the_cliff(cliff: MapRanges, cliff_folder: Path) -> None:
    rim = cliff.below(place(LATITUDE_DEG, LONGITUDE_EAST_DEG, 5_000.0))
    gentle = cliff.below(place(LATITUDE_DEG, LONGITUDE_EAST_DEG + 0.4, 5_000.0))
    assert rim.stated_m == gentle.stated_m == HEIGHT_SIGMA_M
    for ground in (rim, gentle):
        assert ground.sigma_m == pytest.approx(np.hypot(ground.stated_m, ground.relief_m))
    # Small craters are everywhere; on gentle ground there is little besides.
    pixel_m = cliff_map(cliff_folder).resolution_m
    assert CRATERED_SHARE * pixel_m <= gentle.relief_m < 0.4 * HEIGHT_SIGMA_M
    assert rim.sigma_m > 2.0 * gentle.sigma_m
    assert rim.relief_m > 20.0 * gentle.relief_m


def test_the_maps_error_changes_over_its_pixels(cliff: MapRanges, cliff_folder: Path) -> None:
    assert cliff.correlation_length_m == CORRELATION_PX * cliff_map(cliff_folder).resolution_m


def test_a_placement_is_a_shifted_map(cliff_folder: Path) -> None:
    shift_px = 8
    shifted = cliff_ranges(cliff_folder, shift_px)
    turned = MapRanges(cliff_map(cliff_folder), CpuBackend())
    # The map's ground has moved east, so a believed place stands over what was west of it.
    shift_deg = shift_px / PIXELS_PER_DEGREE
    turned.placement = Rotation.from_euler("z", -shift_deg, degrees=True).as_matrix()
    plain = MapRanges(cliff_map(cliff_folder), CpuBackend())
    for latitude, longitude in [(10.1, 30.3), (9.8, 29.6), (10.3, 29.7)]:
        origin = place(latitude, longitude, 5_000.0)
        for direction in (beam(origin, 0.0, 0.0), beam(origin, 25.0, 100.0)):
            expected = shifted.ranges_m(origin[None], direction[None])[0]
            assert turned.ranges_m(origin[None], direction[None])[0] == pytest.approx(
                expected, abs=0.2
            )
        ours, theirs = turned.below(origin), shifted.below(origin)
        assert ours.height_m == pytest.approx(theirs.height_m, abs=0.2)
        assert ours.gradient == pytest.approx(theirs.gradient, abs=0.004)
        unshifted = plain.below(place(latitude, longitude - shift_deg, 5_000.0))
        assert ours.height_m == pytest.approx(unshifted.height_m, abs=1e-6)


def test_a_map_that_is_moved_is_another_edition_and_one_that_stays_is_not(
    cliff_folder: Path,
) -> None:
    ranges = cliff_ranges(cliff_folder)
    moved = Rotation.from_rotvec([0.0, 0.0, 1e-4]).as_matrix()
    nearly = Rotation.from_rotvec([0.0, 0.0, 1e-4 + 1e-8]).as_matrix()
    editions = []
    for placement in (None, moved, moved, nearly, None):
        ranges.placement = placement
        editions.append(ranges.edition)
    assert editions == [0, 1, 1, 1, 2]


def test_tiles_are_cut_again_after_a_journey_beyond_what_is_kept(cliff: MapRanges) -> None:
    origin = place(LATITUDE_DEG, LONGITUDE_EAST_DEG + 0.3, 5_000.0)
    down = beam(origin, 0.0, 0.0)
    before = cliff.ranges_m(origin[None], down[None])
    for longitude in range(100, 108):
        assert np.isnan(cliff.below(place(0.0, longitude, 5_000.0)).height_m)
    assert cliff.ranges_m(origin[None], down[None]) == before
