"""The region and the grid of a map to be built."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trn.errors import InputError
from trn.maps.grid import Grid, Projection, plane_from_geographic
from trn.maps.source import Coverage, ElevationSource, WarpedPlacement
from trn.moon.constants import REFERENCE_RADIUS_M

POLAR_FROM_DEG = 70.0
POLAR_DOWN_TO_DEG = 45.0
"""A map that reaches poleward of the first, and not below the second, is polar stereographic."""

MAX_MAP_PIXELS = 1 << 36


def map_region(
    coverages: Sequence[Coverage], bounds: tuple[float, float, float, float] | None
) -> Coverage:
    """The region of a map: all that is covered, cut to bounds where given.

    bounds: (latitude, latitude, west, east) in degrees; west > east crosses longitude 180.
    Raises InputError for bounds that are none, or outside what is covered.
    """
    south = min(c.south for c in coverages)
    north = max(c.north for c in coverages)
    west, east = _union_of_arcs([(c.west, c.east) for c in coverages])
    if bounds is None:
        return _normal(Coverage(south, north, west, east))
    wanted = _checked(bounds)
    overlap_south, overlap_north = max(south, wanted.south), min(north, wanted.north)
    arc = _overlap_of_arcs((wanted.west, wanted.east), (west, east))
    if overlap_south >= overlap_north or arc is None:
        raise InputError(
            f"bounds: {' '.join(f'{b:g}' for b in bounds)} lie outside the data, which spans "
            f"latitude {south:g} to {north:g} and longitude {west:g} to {east:g}; choose bounds "
            "inside"
        )
    return _normal(Coverage(overlap_south, overlap_north, *arc))


def map_projection(region: Coverage) -> Projection:
    """Geographic, or polar stereographic where the region lies about a pole."""
    if region.north > POLAR_FROM_DEG and region.south >= POLAR_DOWN_TO_DEG:
        return "north_polar"
    if region.south < -POLAR_FROM_DEG and region.north <= -POLAR_DOWN_TO_DEG:
        return "south_polar"
    return "geographic"


def map_grid(
    sources: Sequence[ElevationSource], region: Coverage, projection: Projection, *, cut: bool
) -> Grid:
    """The grid of the finest source that has the map's projection, over the region.

    cut: the region was chosen; otherwise a polar map spans all of the polar sources.
    """
    own = [s.placement for s in sources if _is(s.placement, projection)]
    finest = min((g for g in own if isinstance(g, Grid)), key=lambda g: g.pixel_y, default=None)
    pixel_m = min(source.pixel_m for source in sources)
    if finest is None:
        finest = _fresh(projection, pixel_m, region)
    if projection == "geographic":
        box = (region.west, region.east, region.south, region.north)
    elif not cut and len(own) == len(sources):
        grids = [g for g in own if isinstance(g, Grid)]
        box = (
            min(g.left for g in grids),
            max(g.right for g in grids),
            min(g.bottom for g in grids),
            max(g.top for g in grids),
        )
    else:
        box = _plane_box(projection, region)
    first_column = int(np.floor((box[0] - finest.left) / finest.pixel_x + 1e-6))
    end_column = int(np.ceil((box[1] - finest.left) / finest.pixel_x - 1e-6))
    first_row = int(np.floor((finest.top - box[3]) / finest.pixel_y + 1e-6))
    end_row = int(np.ceil((finest.top - box[2]) / finest.pixel_y - 1e-6))
    if projection == "geographic":
        turn = round(360.0 / finest.pixel_x)
        end_column = min(end_column, first_column + turn)
    rows, columns = end_row - first_row, end_column - first_column
    if rows * columns > MAX_MAP_PIXELS:
        raise InputError(f"bounds: {columns} by {rows} pixels are too many; choose smaller bounds")
    return Grid(
        projection,
        rows,
        columns,
        finest.left + first_column * finest.pixel_x,
        finest.top - first_row * finest.pixel_y,
        finest.pixel_x,
        finest.pixel_y,
    )


def same_pixels(placement: Grid | WarpedPlacement, grid: Grid) -> bool:
    """Whether the pixels of a source are pixels of the map's grid."""
    if not isinstance(placement, Grid) or placement.projection != grid.projection:
        return False
    away_x = (placement.left - grid.left) / grid.pixel_x
    away_y = (placement.top - grid.top) / grid.pixel_y
    longest = max(placement.columns, placement.rows, grid.columns, grid.rows)
    scale_x, scale_y = placement.pixel_x / grid.pixel_x, placement.pixel_y / grid.pixel_y
    turn = 360.0 / grid.pixel_x
    if grid.projection == "geographic" and abs(turn - round(turn)) > 1e-6:
        # A full turn is not a whole number of pixels: longitudes must count alike.
        ends = (placement.left, placement.right, grid.left, grid.right)
        if max(ends) - min(ends) > 180.0:
            return False
    return (
        abs(away_x - round(away_x)) < 1e-6
        and abs(away_y - round(away_y)) < 1e-6
        and max(abs(scale_x - 1.0), abs(scale_y - 1.0)) * longest < 1e-6
    )


def _is(placement: Grid | WarpedPlacement, projection: Projection) -> bool:
    return isinstance(placement, Grid) and placement.projection == projection


def _fresh(projection: Projection, pixel_m: float, region: Coverage) -> Grid:
    """A first pixel for a map whose sources have no grid of its projection."""
    if projection != "geographic":
        return Grid(projection, 1, 1, 0.0, 0.0, pixel_m, pixel_m)
    pixel_y = float(np.rad2deg(pixel_m / REFERENCE_RADIUS_M))
    crosses = region.south <= 0.0 <= region.north
    nearest = 0.0 if crosses else min(abs(region.south), abs(region.north))
    # Whole pixels around the Moon, so that maps of all longitudes close.
    pixel_x = 360.0 / float(np.ceil(360.0 * np.cos(np.deg2rad(nearest)) / pixel_y))
    return Grid(projection, 1, 1, -180.0, 90.0, pixel_x, pixel_y)


def _plane_box(projection: Projection, region: Coverage) -> tuple[float, float, float, float]:
    """Least and greatest x and y (metres) of a region in the polar plane."""
    east = np.linspace(region.west, region.east, 721)
    latitude, longitude = np.meshgrid([region.south, region.north], east)
    x, y = plane_from_geographic(projection, np.deg2rad(latitude), np.deg2rad(longitude))
    return float(x.min()), float(x.max()), float(y.min()), float(y.max())


def _checked(bounds: tuple[float, float, float, float]) -> Coverage:
    """Bounds as a region; InputError where they are none."""
    latitude_0, latitude_1, west, east = (float(b) for b in bounds)
    text = " ".join(f"{b:g}" for b in bounds)
    if not np.isfinite(bounds).all() or max(abs(west), abs(east)) > 360.0:
        raise InputError(f"bounds: {text}: longitudes must be degrees from -360 to 360")
    south, north = min(latitude_0, latitude_1), max(latitude_0, latitude_1)
    if south < -90.0 or north > 90.0 or south == north:
        raise InputError(f"bounds: {text}: latitudes must be two degrees from -90 to 90")
    width = 360.0 if abs(east - west) >= 360.0 else (east - west) % 360.0
    if width == 0.0:
        raise InputError(f"bounds: {text}: west and east are the same; give two longitudes")
    return Coverage(south, north, west, west + width)


def _union_of_arcs(arcs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The shortest arc, from west to east in degrees, that holds all arcs."""
    if any(east - west >= 360.0 - 1e-9 for west, east in arcs):
        west = next(w for w, e in arcs if e - w >= 360.0 - 1e-9)
        return west, west + 360.0
    ordered = sorted((west % 360.0, east - west) for west, east in arcs)
    reach = -np.inf
    gaps: list[tuple[float, float]] = []
    for start, width in ordered:
        gaps.append((start - reach, start))
        reach = max(reach, start + width)
    first = ordered[0][0]
    gaps[0] = (first + 360.0 - reach, first)
    widest, start = max(gaps)
    if widest <= 1e-9:
        return -180.0, 180.0
    return start, start + 360.0 - widest


def _overlap_of_arcs(
    wanted: tuple[float, float], covered: tuple[float, float]
) -> tuple[float, float] | None:
    """The part of an arc that is covered; all of it where two parts are; None where none is."""
    if covered[1] - covered[0] >= 360.0 - 1e-9:
        return wanted
    parts = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):
        west = max(wanted[0], covered[0] + turn)
        east = min(wanted[1], covered[1] + turn)
        if west < east:
            parts.append((west, east))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else wanted


def _normal(region: Coverage) -> Coverage:
    """The region with its west in [-180, 180), or from -180 to 180 where it goes around."""
    if region.east - region.west >= 360.0 - 1e-9:
        return Coverage(region.south, region.north, -180.0, 180.0)
    turn = 360.0 * float(np.floor((region.west + 180.0) / 360.0))
    return Coverage(region.south, region.north, region.west - turn, region.east - turn)
