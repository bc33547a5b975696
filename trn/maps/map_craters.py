"""The craters of a map itself, where catalogues end: found in its heights, judged by its light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trn.maps.catalog import CraterCatalog
from trn.maps.dem_craters import LEAST_PX, Bowls, find_bowls, same_crater
from trn.maps.lunar_map import LunarMap, MapBounds
from trn.maps.sunlit import repeatability
from trn.maps.tile import MapTile, cut_tile
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import (
    east_north_up,
    east_north_up_at,
    geographic_from_position,
    position_from_geographic,
    wrap_axis,
    wrap_longitude_deg,
)

Array = NDArray[np.float64]

LARGEST_M = 2000.0
"""Diameter from which the published catalogues are complete."""

LEAST_REPEATABILITY = 0.5
CELL_NODES = 800
MOST_CELL_DEG = 6.0
MARGIN = 2.5
"""What is looked at around a cell, in largest radii."""


@dataclass(frozen=True, eq=False)
class MapCraters:
    """Craters of a map: catalogue, share of Suns under which each shows (N,), depth (N,), metres.

    Largest first.
    """

    catalog: CraterCatalog
    repeatability: Array
    depth_m: Array

    def __len__(self) -> int:
        return len(self.catalog)

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> MapCraters:
        """The craters that keep, bool (N,) or indices, picks."""
        return MapCraters(self.catalog.chosen(keep), self.repeatability[keep], self.depth_m[keep])


def find_map_craters(
    moon_map: LunarMap,
    known: CraterCatalog | None = None,
    least_m: float = 0.0,
    most_m: float = LARGEST_M,
    least_repeatability: float = LEAST_REPEATABILITY,
    progress: Callable[[float], None] | None = None,
) -> MapCraters:
    """Craters of least_m to most_m in diameter that the map's heights show.

    known: craters to leave out. least_m: raised to LEAST_PX pixels of the map.
    least_repeatability: share of Suns under which a crater has to show (see `repeatability`).
    progress: called with the share done, 0 to 1. The same map gives the same craters.
    """
    report = progress or (lambda share: None)
    least_m = max(least_m, LEAST_PX * moon_map.resolution_m)
    parts = [_none()]
    cells = _cells(moon_map) if least_m < most_m else []
    for done, cell in enumerate(cells):
        parts.append(_in_cell(moon_map, cell, least_m, most_m, least_repeatability))
        report((done + 1) / len(cells))
    return _numbered(_without(_joined(parts), known))


def _cells(moon_map: LunarMap) -> list[MapBounds]:
    """The map's region in cells of about CELL_NODES by CELL_NODES pixels."""
    bounds = moon_map.bounds
    size_deg = min(
        float(np.degrees(CELL_NODES * moon_map.resolution_m / REFERENCE_RADIUS_M)), MOST_CELL_DEG
    )
    south, north = bounds.latitude_min_deg, bounds.latitude_max_deg
    west = bounds.longitude_west_deg
    span = (bounds.longitude_east_deg - west) % 360.0 or 360.0
    cells: list[MapBounds] = []
    rows = max(1, int(np.ceil((north - south) / size_deg)))
    latitudes = np.linspace(south, north, rows + 1)
    for low, high in pairwise(latitudes):
        nearest = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
        columns = max(1, int(np.ceil(span * np.cos(np.radians(nearest)) / size_deg)))
        # No cell reaches a quarter around a pole.
        columns = max(columns, int(np.ceil(span / 90.0)))
        edges = np.linspace(west, west + span, columns + 1)
        cells += [MapBounds(low, high, a, b) for a, b in pairwise(edges)]
    return cells


def _in_cell(
    moon_map: LunarMap, cell: MapBounds, least_m: float, most_m: float, least_repeatability: float
) -> MapCraters:
    """Craters whose centres lie in one cell."""
    tile = _tile(moon_map, cell, MARGIN * 0.5 * most_m)
    surface = tile.surface
    if surface.hole.all():
        return _none()
    bowls = find_bowls(surface.heights_m, surface.hole, tile.grid.spacing_m, least_m, most_m)
    latitude, longitude = _geographic(tile, bowls.x, bowls.y)
    east_of_cell = np.mod(np.degrees(longitude) - cell.longitude_west_deg, 360.0)
    inside = (np.degrees(latitude) >= cell.latitude_min_deg) & (
        np.degrees(latitude) < cell.latitude_max_deg
    )
    inside &= east_of_cell < cell.longitude_east_deg - cell.longitude_west_deg
    bowls, latitude, longitude = bowls.chosen(inside), latitude[inside], longitude[inside]
    score = repeatability(surface, bowls)
    keep = score >= least_repeatability
    return _located(tile, bowls.chosen(keep), latitude[keep], longitude[keep], score[keep])


def _tile(moon_map: LunarMap, cell: MapBounds, margin_m: float) -> MapTile:
    """The map's heights over a cell and some of its surroundings."""
    steps = np.linspace(0.0, 1.0, 9)
    low, high = np.radians([cell.latitude_min_deg, cell.latitude_max_deg])
    west, east = np.radians([cell.longitude_west_deg, cell.longitude_east_deg])
    latitude, longitude = np.meshgrid(low + (high - low) * steps, west + (east - west) * steps)
    points = position_from_geographic(latitude.ravel(), longitude.ravel(), 0.0)
    centre = points.mean(axis=0)
    local = points @ east_north_up(centre).T
    x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    margin = margin_m / REFERENCE_RADIUS_M
    bounds = (x.min() - margin, x.max() + margin, y.min() - margin, y.max() + margin)
    return cut_tile(moon_map, centre, bounds, moon_map.resolution_m)


def _directions(tile: MapTile, column: Array, row: Array) -> Array:
    """Body-fixed unit vectors (N, 3) of places on a tile's grid."""
    surface = tile.surface
    x, y = surface.x0 + column * surface.step, surface.y0 + row * surface.step
    local = np.stack([x, y, np.ones_like(x)], axis=-1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    return np.asarray(local @ tile.grid.axes)


def _geographic(tile: MapTile, column: Array, row: Array) -> tuple[Array, Array]:
    latitude, longitude, _ = geographic_from_position(_directions(tile, column, row))
    return np.asarray(latitude), np.asarray(longitude)


def _located(
    tile: MapTile, bowls: Bowls, latitude: Array, longitude: Array, score: Array
) -> MapCraters:
    """Bowls of a tile as craters of the Moon, rims in the tangent planes of their centres."""
    east, north, _ = east_north_up_at(latitude, longitude)
    half = np.empty((len(bowls), 2, 2))
    c, s = np.cos(bowls.theta), np.sin(bowls.theta)
    axes = ((bowls.a * c, bowls.a * s), (-bowls.b * s, bowls.b * c))
    for k, (along_x, along_y) in enumerate(axes):
        end = _directions(tile, bowls.x + along_x, bowls.y + along_y)
        half[:, 0, k] = (end * east).sum(axis=1)
        half[:, 1, k] = (end * north).sum(axis=1)
    # The tile's scale is not that of the tangent plane: axes of the ellipse's image.
    turned, lengths, _ = np.linalg.svd(half)
    angle = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    major, minor = (2.0 * REFERENCE_RADIUS_M * lengths).T
    catalog = CraterCatalog(
        np.full(len(bowls), "", dtype=np.str_),
        latitude,
        longitude,
        np.sqrt(major * minor),
        major,
        minor,
        wrap_axis(angle),
    )
    return MapCraters(catalog, score, bowls.depth_m)


def _none() -> MapCraters:
    none = np.empty(0)
    return MapCraters(
        CraterCatalog(np.empty(0, dtype=np.str_), none, none, none, none, none, none), none, none
    )


def _joined(parts: list[MapCraters]) -> MapCraters:
    return MapCraters(
        CraterCatalog.joined([part.catalog for part in parts]),
        np.concatenate([part.repeatability for part in parts]),
        np.concatenate([part.depth_m for part in parts]),
    )


def _without(found: MapCraters, known: CraterCatalog | None) -> MapCraters:
    """The craters that are not known already."""
    if known is None or not len(known) or not len(found):
        return found
    at = match_craters(found.catalog, known)
    return found.chosen(at < 0)


def match_craters(found: CraterCatalog, known: CraterCatalog) -> NDArray[np.intp]:
    """For each found crater the index of the known one that is the same, nearest first, or -1."""
    matched = np.full(len(found), -1, dtype=np.intp)
    if not len(found) or not len(known):
        return matched
    # A known crater that is twice as large or more is another one: giants need no wide search.
    limit = 2.0 * float(found.diameter_m.max())
    candidates = np.flatnonzero(known.diameter_m <= limit)
    places = position_from_geographic(known.latitude[candidates], known.longitude[candidates], 0.0)
    centres = position_from_geographic(found.latitude, found.longitude, 0.0)
    if not candidates.size:
        return matched
    near = cKDTree(places).query_ball_point(centres, 0.3 * limit)
    for k, others in enumerate(near):
        if not others:
            continue
        distance = np.linalg.norm(places[others] - centres[k], axis=1)
        index = candidates[others]
        radius = 0.5 * known.diameter_m[index]
        same = same_crater(distance, radius, 0.5 * float(found.diameter_m[k]))
        if same.any():
            order = np.where(same, distance, np.inf)
            matched[k] = index[int(order.argmin())]
    return matched


def _numbered(found: MapCraters) -> MapCraters:
    """The same, largest first, each with an id from its place."""
    catalog = found.catalog
    order = np.lexsort((catalog.longitude, catalog.latitude, -catalog.diameter_m))
    catalog = catalog.chosen(order)
    # Micro-degrees are 3 cm: no two craters share them.
    latitude = np.rint(np.degrees(catalog.latitude) * 1e6).astype(int)
    longitude = np.rint(wrap_longitude_deg(np.degrees(catalog.longitude)) * 1e6).astype(int)
    ids = [f"dem{a:+09d}{b:+010d}" for a, b in zip(latitude.tolist(), longitude.tolist())]
    named = replace(catalog, id=np.array(ids, dtype=np.str_))
    return replace(found.chosen(order), catalog=named)
