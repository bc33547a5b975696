"""Named lunar regions as a few published numbers, and their craters shaped on a grid of heights.

`datasets/named_craters.toml` lists each region's craters, mountains and provinces with their
sources. A crater here has its own depth and floor level, where `trn.simulate.craters` draws
anonymous ones from averages.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine
from scipy.ndimage import distance_transform_edt

from trn.errors import InputError, quoted
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.resources import resource_path
from trn.simulate.noise import noise_at, seed_word

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array = NDArray[np.float64]

FLOOR_RELIEF = 0.3
"""Share of the ground's fine relief that is left on a crater's floor, under lava and slumps."""

_RIM_NOISE = 600
_TERRACE_NOISE = 700
_HILL_NOISE = 800
_BORDER_NOISE = 900
# Rims are scalloped by slumping: rms deviation from a circle and its scale, in radii.
_SCALLOP = 0.02
_SCALLOP_LATTICE = 0.35
_TERRACE_LATTICE = 0.5
# Height up the wall against distance from the floor's edge, and up a bowl against distance from
# its centre, from the azimuthal median profiles of Atlas, Hercules, Tycho and Hercules F (GLD100).
_WALL_POWER = 1.5
_BOWL_POWER = 1.7
# Slumps make steps in the walls of craters from about this diameter, broken along it.
_TERRACED_KM = 28.0
_TERRACES = 3
_PEAK_RADIUS = 0.14
# The same profiles: what a rim rises above its surroundings is gone at this many radii.
_RIM_REACH = 2.0
# A published depth is measured to the crest, the highest ground about the rim at each azimuth.
_CREST_PERCENTILE = 60.0
# A rim follows the ups and downs of the ground that it stands on by this share.
_RIM_FOLLOWS = 0.5


@dataclass(frozen=True)
class NamedCrater:
    """One crater; depth from rim crest to floor, floor_height_m above the reference sphere.

    floor_diameter_km is where the wall starts; 0 for a bowl.
    """

    name: str
    latitude_deg: float
    longitude_east_deg: float
    diameter_km: float
    depth_km: float
    floor_height_m: float
    floor: Literal["flat", "bowl"]
    floor_diameter_km: float
    peak_height_m: float


@dataclass(frozen=True)
class NamedMountain:
    """A dome or hill: its diameter at the foot and its height above the ground around it."""

    name: str
    latitude_deg: float
    longitude_east_deg: float
    diameter_km: float
    height_m: float


@dataclass(frozen=True)
class Province:
    """Ground of one level and roughness inside a boundary, (latitude, east longitude) degrees.

    roughness_m: rms height of relief at a scale of 32 km. The change to the ground outside takes
    border_km.
    """

    name: str
    boundary_deg: tuple[tuple[float, float], ...]
    base_height_m: float
    roughness_m: float
    border_km: float


@dataclass(frozen=True)
class Region:
    """A region's bounds (degrees), its ground, and its features from old to young."""

    name: str
    latitude_deg: tuple[float, float]
    longitude_east_deg: tuple[float, float]
    base_height_m: float
    roughness_m: float
    surface_age_gyr: float
    source: str
    provinces: tuple[Province, ...]
    mountains: tuple[NamedMountain, ...]
    craters: tuple[NamedCrater, ...]


def regions() -> list[str]:
    """Names of the regions that load_region knows."""
    return sorted(_tables(resource_path("datasets", "named_craters.toml")))


def load_region(name: str) -> Region:
    """A region of datasets/named_craters.toml; InputError for one that it does not hold."""
    return read_region(resource_path("datasets", "named_craters.toml"), name)


def read_region(path: Path, name: str) -> Region:
    """A region of a file like datasets/named_craters.toml.

    InputError, on one line that names file and field, for an unknown region and for values that
    are missing, of a wrong type or out of range.
    """
    tables = _tables(path)
    if name not in tables:
        raise InputError(f"{quoted(name)}: no such region; choose one of {', '.join(tables)}")
    fields = _Fields(tables[name], f"{path}: {name}")
    south, north = fields.span("latitude_deg", 90.0)
    west, east = fields.span("longitude_east_deg", 180.0)
    return Region(
        name=name,
        latitude_deg=(south, north),
        longitude_east_deg=(west, east),
        base_height_m=fields.number("base_height_m", -1e4, 1.1e4),
        roughness_m=fields.number("roughness_m", 0.0, 2e3),
        surface_age_gyr=fields.number("surface_age_gyr", 0.01, 4.3),
        source=fields.text("source"),
        provinces=tuple(_province(item) for item in fields.items("provinces")),
        mountains=tuple(_mountain(item) for item in fields.items("mountains")),
        craters=tuple(_crater(item) for item in fields.items("craters")),
    )


def _tables(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({' '.join(str(error).split())})") from error


class _Fields:
    """Typed, range-checked access to one table of the file."""

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, dict):
            raise InputError(f"{where}: expected a table, got {quoted(table)}")
        self._table = cast("dict[str, object]", table)
        self.where = where

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{self.where}: {key} must be a number, got {quoted(value)}")
        if not low <= value <= high:
            raise InputError(
                f"{self.where}: {key} must be {low:g} to {high:g}, got {quoted(value)}"
            )
        return float(value)

    def text(self, key: str) -> str:
        value = self._table.get(key)
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.where}: {key} must be text, got {quoted(value)}")
        return value

    def span(self, key: str, limit: float) -> tuple[float, float]:
        low, high = self._pair(self._table.get(key), key, limit)
        if low >= high:
            raise InputError(f"{self.where}: {key} must rise, got {low:g} and {high:g}")
        return low, high

    def boundary(self, key: str) -> tuple[tuple[float, float], ...]:
        value = self._table.get(key)
        if not isinstance(value, list) or len(value) < 3:
            raise InputError(f"{self.where}: {key} must be a list of 3 or more points")
        return tuple(self._pair(point, key, 180.0) for point in value)

    def items(self, key: str) -> list[_Fields]:
        value = self._table.get(key, [])
        if not isinstance(value, list):
            raise InputError(f"{self.where}: {key} must be a list of tables, got {quoted(value)}")
        return [_Fields(item, f"{self.where} {key} {k + 1}") for k, item in enumerate(value)]

    def _pair(self, value: object, key: str, limit: float) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise InputError(f"{self.where}: {key} must be two numbers, got {quoted(value)}")
        pair = _Fields({f"{key} {k + 1}": number for k, number in enumerate(value)}, self.where)
        return pair.number(f"{key} 1", -limit, limit), pair.number(f"{key} 2", -limit, limit)


def _province(fields: _Fields) -> Province:
    return Province(
        name=fields.text("name"),
        boundary_deg=fields.boundary("boundary_deg"),
        base_height_m=fields.number("base_height_m", -1e4, 1.1e4),
        roughness_m=fields.number("roughness_m", 0.0, 2e3),
        border_km=fields.number("border_km", 0.1, 1e3),
    )


def _mountain(fields: _Fields) -> NamedMountain:
    return NamedMountain(
        name=fields.text("name"),
        latitude_deg=fields.number("latitude_deg", -90.0, 90.0),
        longitude_east_deg=fields.number("longitude_east_deg", -180.0, 180.0),
        diameter_km=fields.number("diameter_km", 0.1, 1e3),
        height_m=fields.number("height_m", 0.0, 1e4),
    )


def _crater(fields: _Fields) -> NamedCrater:
    diameter_km = fields.number("diameter_km", 0.1, 600.0)
    floor = fields.text("floor")
    if floor not in ("flat", "bowl"):
        raise InputError(f"{fields.where}: floor must be flat or bowl, got {quoted(floor)}")
    flat = floor == "flat"
    return NamedCrater(
        name=fields.text("name"),
        latitude_deg=fields.number("latitude_deg", -90.0, 90.0),
        longitude_east_deg=fields.number("longitude_east_deg", -180.0, 180.0),
        diameter_km=diameter_km,
        depth_km=fields.number("depth_km", 0.01, 15.0),
        floor_height_m=fields.number("floor_height_m", -1e4, 1.1e4),
        floor="flat" if flat else "bowl",
        floor_diameter_km=fields.number("floor_diameter_km", 0.0, 0.95 * diameter_km)
        if flat
        else 0.0,
        peak_height_m=fields.number("peak_height_m", 0.0, 5e3, default=0.0),
    )


def rise_from_floor(
    crater: NamedCrater, radius_fraction: Array, terrace_shift: Array | float = 0.0
) -> Array:
    """Height above the floor's level over the depth, inside the rim: 0 on the floor, 1 at 1.

    terrace_shift moves the terraces up and down the wall, in terraces. Walls of craters as deep as
    Pike (1977) gives for their diameter (1.044 D^0.301 km, simple ones 0.196 D^1.01) are concave
    and terraced up to a sharp crest; shallower, worn ones are rounded off.
    """
    diameter_km = crater.diameter_km
    fresh_km = min(0.196 * diameter_km**1.01, 1.044 * diameter_km**0.301)
    freshness = min(crater.depth_km / fresh_km, 1.0)
    if crater.floor == "bowl":
        along = np.clip(radius_fraction, 0.0, 1.0)
        return np.asarray(along**_BOWL_POWER)
    edge = crater.floor_diameter_km / diameter_km
    along = np.clip((radius_fraction - edge) / (1.0 - edge), 0.0, 1.0)
    turn = 2.0 * math.pi * _TERRACES
    height = 0.7 * freshness**2 if diameter_km >= _TERRACED_KM else 0.0
    # No step at the floor's edge nor at the crest, wherever the terraces are shifted to.
    height = height * 4.0 * along * (1.0 - along)
    stepped = along - height * np.sin(turn * along + 2.0 * math.pi * terrace_shift) / turn
    return np.asarray(freshness * stepped**_WALL_POWER + (1.0 - freshness) * smoothstep(along))


def smoothstep(x: Array) -> Array:
    """0 below 0, 1 above 1, and 3x^2 - 2x^3 between."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


@dataclass(frozen=True)
class SiteGrid:
    """Pixel centres of a geographic grid: radians, and body-fixed points of the sphere in metres.

    latitude (rows,) falls, longitude_east (columns,) rises; points_m is (rows, columns, 3).
    transform: pixel (column, row) to degrees (east longitude, latitude).
    """

    latitude: Array
    longitude_east: Array
    points_m: Array
    transform: Affine

    def spacing_m(self) -> float:
        """Ground distance between rows."""
        return REFERENCE_RADIUS_M * math.radians(-self.transform.e)

    def around(
        self, latitude_deg: float, longitude_east_deg: float, reach_m: float
    ) -> tuple[tuple[slice, slice], Array]:
        """The window within a distance of a place, and each pixel's distance to it in metres.

        Distances along the sphere by the haversine formula; the window may be empty.
        """
        latitude, longitude = math.radians(latitude_deg), math.radians(longitude_east_deg)
        angle = reach_m / REFERENCE_RADIUS_M
        # The widest parallel of a cap of that angle; all of them where it holds a pole.
        cosine = math.cos(min(abs(latitude) + angle, 0.5 * math.pi))
        width = math.asin(min(math.sin(angle) / cosine, 1.0)) if cosine > 1e-6 else math.pi
        rows = np.flatnonzero(np.abs(self.latitude - latitude) <= angle)
        columns = np.flatnonzero(np.abs(self.longitude_east - longitude) <= width)
        window = (_covering(rows), _covering(columns))
        lat, lon = self.latitude[window[0], None], self.longitude_east[None, window[1]]
        chord = np.sin(0.5 * (lat - latitude)) ** 2 + (
            np.cos(lat) * math.cos(latitude) * np.sin(0.5 * (lon - longitude)) ** 2
        )
        return window, 2.0 * REFERENCE_RADIUS_M * np.arcsin(np.sqrt(chord))


def _covering(indices: NDArray[np.intp]) -> slice:
    return slice(int(indices[0]), int(indices[-1]) + 1) if indices.size else slice(0, 0)


def province_ground(region: Region, grid: SiteGrid, seed: int) -> tuple[Array, Array]:
    """Mean level and roughness (metres) of the region's ground at every pixel."""
    shape = (len(grid.latitude), len(grid.longitude_east))
    level = np.full(shape, region.base_height_m)
    roughness = np.full(shape, region.roughness_m)
    middle = math.radians(0.5 * (region.latitude_deg[0] + region.latitude_deg[1]))
    sampling = (grid.spacing_m(), grid.spacing_m() * math.cos(middle))
    for k, province in enumerate(region.provinces):
        ring = [(lon, lat) for lat, lon in (*province.boundary_deg, province.boundary_deg[0])]
        inside = rasterize(
            [{"type": "Polygon", "coordinates": [ring]}], shape, transform=grid.transform
        ).astype(bool)
        if not inside.any() or inside.all():
            weight = inside.astype(np.float64)
        else:
            distance = distance_transform_edt(inside, sampling)
            distance -= distance_transform_edt(~inside, sampling)
            border_m = 1e3 * province.border_km
            # Shores and mountain fronts wander about the few points that are listed.
            for lattice_m, share in ((1.5 * border_m, 0.25), (0.5 * border_m, 0.2)):
                word = seed_word(seed, _BORDER_NOISE + k)
                distance += share * border_m * noise_at(grid.points_m, lattice_m, word)
            weight = smoothstep(0.5 + distance / border_m)
        level += weight * (province.base_height_m - level)
        roughness += weight * (province.roughness_m - roughness)
    return level, roughness


def shape_mountain(
    height_m: Array, grid: SiteGrid, mountain: NamedMountain, word: np.uint64
) -> None:
    """Add a hill to heights on a grid, in place; word seeds its irregularities."""
    radius_m = 500.0 * mountain.diameter_km
    window, distance = grid.around(mountain.latitude_deg, mountain.longitude_east_deg, radius_m)
    if distance.size == 0:
        return
    dome = smoothstep(1.0 - distance / radius_m)
    # A massif is a cluster of blocks; a dome of a few kilometres is smooth.
    uneven = 0.6 if mountain.diameter_km > 15.0 else 0.1
    blocks = 1.0 + uneven * noise_at(grid.points_m[window], 0.3 * radius_m, word)
    height_m[window] += mountain.height_m * dome * np.clip(blocks, 0.0, 2.0)


def shape_crater(
    height_m: Array,
    relief_share: Array,
    grid: SiteGrid,
    crater: NamedCrater,
    words: tuple[np.uint64, np.uint64],
) -> None:
    """Shape one crater into heights on a grid, in place; words seed its rim and its terraces.

    The ground inside gives way to the crater's own floor and wall; the rim stands at floor level
    plus depth, and what it rises above the ground falls off outside with the cube of the distance
    (McGetchin et al. 1973), brought smoothly to nothing at two radii. relief_share, the
    share of fine relief that is to be added, falls to FLOOR_RELIEF on the floor.
    """
    radius_m = 500.0 * crater.diameter_km
    window, distance = grid.around(
        crater.latitude_deg, crater.longitude_east_deg, 1.1 * _RIM_REACH * radius_m
    )
    fraction = distance / radius_m
    if fraction.size == 0:
        return
    points = grid.points_m[window]
    irregular = noise_at(points, _SCALLOP_LATTICE * radius_m, words[0])
    broken = 0.25 * noise_at(points, _TERRACE_LATTICE * radius_m, words[1])
    fraction *= 1.0 + _SCALLOP * irregular
    ground = height_m[window]
    width = max(0.04, 1.5 * grid.spacing_m() / radius_m)
    on_rim = ground[np.abs(fraction - 1.0) < width]
    if on_rim.size == 0:
        return
    rim_ground_m = float(np.percentile(on_rim, _CREST_PERCENTILE))
    depth_m = 1e3 * crater.depth_km
    # What the rim's level here is, were the rim at this pixel.
    unevenness = _RIM_FOLLOWS * (ground - rim_ground_m)
    rim_level = crater.floor_height_m + depth_m + unevenness
    fade = smoothstep((_RIM_REACH - fraction) / (_RIM_REACH - 1.0))
    outside = ground + (rim_level - ground) * fade / np.maximum(fraction, 1.0) ** 3
    edge = crater.floor_diameter_km / crater.diameter_km
    kept = smoothstep((fraction - edge) / (1.0 - edge))
    # Peaks are clusters of hills, not cones.
    rough = np.clip(1.0 + 0.5 * irregular, 0.0, 1.5)
    peak = crater.peak_height_m * rough * np.exp(-((fraction / _PEAK_RADIUS) ** 2))
    inside = (
        crater.floor_height_m
        + depth_m * rise_from_floor(crater, fraction, broken)
        + peak
        + kept * unevenness
    )
    within = fraction < 1.0
    height_m[window] = np.where(within, inside, outside)
    share = relief_share[window]
    relief_share[window] = np.where(within, FLOOR_RELIEF + kept * (share - FLOOR_RELIEF), share)


def shape_region(
    region: Region, height_m: Array, relief_share: Array, grid: SiteGrid, seed: int
) -> None:
    """Shape a region's mountains and craters, in their order, into heights on a grid, in place."""
    for k, mountain in enumerate(region.mountains):
        shape_mountain(height_m, grid, mountain, seed_word(seed, _HILL_NOISE + k))
    for k, crater in enumerate(region.craters):
        words = seed_word(seed, _RIM_NOISE + k), seed_word(seed, _TERRACE_NOISE + k)
        shape_crater(height_m, relief_share, grid, crater, words)
