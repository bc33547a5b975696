"""The true ground: a map's own grid, brought down to metres by relief that the map cannot show.

`TruthTerrain` answers for any place; `Patch` is its surface around one view, as a grid of
heights in gnomonic coordinates. In them every straight ray is a straight line and the way from
ray to grid takes two divisions, at any latitude, poles included.

Relief below the map's grid is (a) fractal noise, its strength taken from the map's own local
differential slope (Kreslavsky et al. 2013) and carried to smaller scales by a Hurst exponent of
0.75 on smooth ground to 0.95 on rough (Rosenburg et al. 2011), and (b) small craters. Both depend
on place and seed alone, so that overlapping patches agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.bands import over_bands
from trn.simulate.craters import EJECTA_REACH, density_per_km2, oldest_wear
from trn.simulate.height_grid import HeightGrid
from trn.simulate.noise import seed_word
from trn.simulate.patch import Patch
from trn.simulate.relief import add_octaves, draw_craters, fill_map, refine, stamp_all

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

RELIEF, CRATERS, ALBEDO = 1, 2, 3
"""Purposes of a seed (`noise.seed_word`)."""

_SMOOTH_HURST, _ROUGH_HURST = 0.75, 0.95
# Differential slope at 8 pixels (about 1 km), degrees, of typical maria and highlands:
# Rosenburg et al. (2011), Fig. 4.
_SMOOTH_SLOPE_DEG, _ROUGH_SLOPE_DEG = 0.7, 5.0
_SLOPE_LAG_PX = 8

_ROUGHNESS_STRIDE = 8
_MARE_SLOPE_DEG = 2.0

_LARGEST_CRATER_PX = 3.0
# Grids of at least this share of the map's spacing are interpolated from the map itself.
_DIRECT_SHARE = 0.09


@dataclass(frozen=True)
class ReliefSettings:
    """What is added below the map's grid.

    fractal, craters: strength, 1 as measured and published, 0 none.
    crater_age_gyr: age of the surface for the production function.
    regolith_m: scale below which craters make the roughness, as they are there in equilibrium:
    from there down the fractal relief, on which they are drawn, falls with the Hurst exponent
    regolith_hurst (1: as steep at every scale). Bedrock's exponent, measured craters and all,
    carried on to decimetres would make slopes of 30 degrees. Both chosen with LROC NAC images at
    0.5 m (bench.rendering).
    """

    fractal: float = 1.0
    craters: float = 1.0
    crater_age_gyr: float = 3.5
    regolith_m: float = 100.0
    regolith_hurst: float = 1.0


@dataclass(frozen=True)
class Window:
    """Samples first_row ... of a gnomonic grid of a step, counted from the frame's centre."""

    frame: Array
    first_row: int
    first_column: int
    rows: int
    columns: int
    step: float

    @property
    def u0(self) -> float:
        return self.first_column * self.step

    @property
    def v0(self) -> float:
        return self.first_row * self.step

    @property
    def box(self) -> tuple[float, float, float, float]:
        u_max = self.u0 + (self.columns - 1) * self.step
        return self.u0, u_max, self.v0, self.v0 + (self.rows - 1) * self.step

    def parent(self) -> Window:
        """The window of twice the step from which this one is refined."""
        first_row, first_column = self.first_row // 2 - 1, self.first_column // 2 - 1
        rows = (self.first_row + self.rows) // 2 + 3 - first_row
        columns = (self.first_column + self.columns) // 2 + 3 - first_column
        return Window(self.frame, first_row, first_column, rows, columns, 2.0 * self.step)


@dataclass(frozen=True, eq=False)
class Octaves:
    """Fractal octaves first to last - 1, as `relief.add_octaves` takes them."""

    first: int
    last: int
    strength: Array32
    decay: Array32
    lattice_m: float
    regolith_octave: int
    regolith_decay: float
    seed: np.uint64


class Relief(Protocol):
    """What fills windows with heights, which it holds in arrays of its own (`Any`)."""

    def made(self, make: Callable[[Relief], Patch]) -> Patch:
        """The patch that `make` makes with this relief, or with another where this one fails."""
        ...

    def interpolated(self, grid: HeightGrid, window: Window) -> Any:
        """Heights of a window from the map alone."""
        ...

    def refined(self, coarse: Any, row_shift: int, column_shift: int, window: Window) -> Any:
        """Heights of a window between those of one of twice the step (`relief.refine`)."""
        ...

    def roughen(self, height: Any, window: Window, octaves: Octaves) -> None:
        """Add fractal octaves, in place."""
        ...

    def dig(self, height: Any, window: Window, craters: Array, strength: float) -> None:
        """Add craters (rows as `draw_craters` writes them), in place and in their order."""
        ...

    def to_host(self, height: Any) -> Array32:
        """The heights as NumPy has them."""
        ...


class CpuRelief:
    """Relief by Numba, its rows shared out over threads."""

    def made(self, make: Callable[[Relief], Patch]) -> Patch:
        """See Relief.made."""
        return make(self)

    def interpolated(self, grid: HeightGrid, window: Window) -> Array32:
        """See Relief.interpolated."""
        height = np.empty((window.rows, window.columns), np.float32)

        def work(first: int, last: int) -> None:
            fill_map(height, first, last, window.frame, window.u0, window.v0, window.step,
                     grid.height_m, grid.packed(), grid.periodic)  # fmt: skip

        over_bands(work, window.rows)
        return height

    def refined(
        self, coarse: Array32, row_shift: int, column_shift: int, window: Window
    ) -> Array32:
        """See Relief.refined."""
        height = np.empty((window.rows, window.columns), np.float32)

        def work(first: int, last: int) -> None:
            refine(coarse, row_shift, column_shift, height, first, last)

        over_bands(work, window.rows)
        return height

    def roughen(self, height: Array32, window: Window, octaves: Octaves) -> None:
        """See Relief.roughen."""

        def work(first: int, last: int) -> None:
            add_octaves(height, first, last, window.frame, window.u0, window.v0, window.step,
                        octaves.strength, octaves.decay, octaves.first, octaves.last,
                        octaves.lattice_m, octaves.regolith_octave, octaves.regolith_decay,
                        octaves.seed)  # fmt: skip

        over_bands(work, window.rows)

    def dig(self, height: Array32, window: Window, craters: Array, strength: float) -> None:
        """See Relief.dig."""

        def work(first: int, last: int) -> None:
            stamp_all(height, first, last, window.frame, window.u0, window.v0, window.step,
                      craters, strength)  # fmt: skip

        over_bands(work, window.rows)

    def to_host(self, height: Array32) -> Array32:
        """See Relief.to_host."""
        return height


@dataclass(frozen=True)
class TruthTerrain:
    """The ground as it truly is: a height grid and what is added below its spacing."""

    grid: HeightGrid
    seed: int = 0
    relief: ReliefSettings = ReliefSettings()

    @classmethod
    def from_geotiff(
        cls, path: str | Path, seed: int = 0, relief: ReliefSettings | None = None
    ) -> TruthTerrain:
        """The truth on a GeoTIFF of heights (see `HeightGrid.from_geotiff`)."""
        return cls(HeightGrid.from_geotiff(path), seed, relief or ReliefSettings())

    @cached_property
    def height_range_m(self) -> tuple[float, float]:
        """Heights between which all of the surface lies, with room for the added relief."""
        spare = 8.0 * float(self._roughness.strength.max()) + 100.0
        return float(self.grid.height_m.min()) - spare, float(self.grid.height_m.max()) + spare

    @cached_property
    def _roughness(self) -> _Roughness:
        """What the map's own slopes say of the relief below it."""
        height = self.grid.height_m
        rows, columns = height.shape
        every = _ROUGHNESS_STRIDE
        latitude = np.radians(
            self.grid.latitude_deg + self.grid.step_latitude_deg * np.arange(rows)
        )
        lag = min(_SLOPE_LAG_PX, (min(rows, columns) - 1) // 2)
        lag_m = lag * self.grid.spacing_m
        # Differential height h(x) - (h(x - L) + h(x + L)) / 2 along both axes; east-west lags are
        # stretched to the same length on the ground by the Hurst exponent.
        kernel = np.zeros(2 * lag + 1, np.float32)
        kernel[[0, lag, -1]] = -0.5, 1.0, -0.5
        one = np.ones(1, np.float32)
        border = cv2.BORDER_REFLECT_101
        along_v = cv2.sepFilter2D(height, -1, one, kernel, borderType=border) ** 2
        along_u = cv2.sepFilter2D(height, -1, kernel, one, borderType=border) ** 2
        stretch = np.maximum(
            np.cos(latitude) * self.grid.step_longitude_deg / abs(self.grid.step_latitude_deg), 0.02
        )
        along_u *= (stretch[:, None] ** (-2.0 * 0.85)).astype(np.float32)
        window = 6 * lag + 1
        power = cv2.GaussianBlur(0.5 * (along_u + along_v), (0, 0), window / 4, borderType=border)
        power = power[::every, ::every]
        slope_deg = np.degrees(np.arctan(np.sqrt(power) / lag_m))
        rough = np.log(np.maximum(slope_deg, 1e-3) / _SMOOTH_SLOPE_DEG) / math.log(
            _ROUGH_SLOPE_DEG / _SMOOTH_SLOPE_DEG
        )
        hurst = _SMOOTH_HURST + (_ROUGH_HURST - _SMOOTH_HURST) * np.clip(rough, 0.0, 1.0)
        # Mean square differential height of unit octaves a_k = l_k^H at lag 1, summed over all
        # octaves: computed for this noise, nearly linear in H.
        octave_sum = 4.95 + 7.2 * (hurst - 0.75)
        first = self.relief.fractal * np.sqrt(
            power * (self.grid.spacing_m / lag_m) ** (2.0 * hurst) / octave_sum
        )
        highland = 1.0 / (1.0 + (_MARE_SLOPE_DEG / np.maximum(slope_deg, 1e-3)) ** 3)
        return _Roughness(
            first.astype(np.float32),
            (2.0**-hurst).astype(np.float32),
            highland.astype(np.float32),
        )

    def patch(
        self,
        frame: Array,
        box: tuple[float, float, float, float],
        step: float,
        relief: Relief | None = None,
    ) -> Patch:
        """The surface inside a box of gnomonic coordinates.

        frame: shape (3, 3), rows axis_u, axis_v and up, body-fixed, orthonormal.
        box: (u_min, u_max, v_min, v_max). step: grid step (radians at the centre); relief goes
        down to it. Samples lie on whole multiples of the step. Fine grids are refined from coarser
        ones, each of which adds the relief of its own scale, so that a sample costs about
        the same at every step. relief: what fills them, the CPU if none is given.
        """
        return (relief or CpuRelief()).made(lambda by: self._patch(frame, box, step, by))

    def _patch(
        self, frame: Array, box: tuple[float, float, float, float], step: float, relief: Relief
    ) -> Patch:
        first_column, first_row = math.floor(box[0] / step), math.floor(box[2] / step)
        columns = math.ceil(box[1] / step) - first_column + 1
        rows = math.ceil(box[3] / step) - first_row + 1
        frame = np.ascontiguousarray(frame, dtype=np.float64)
        whole = Window(frame, first_row, first_column, rows, columns, step)
        height, octaves, crater_octaves = self._coarse(whole, relief)
        spacing_m = step * REFERENCE_RADIUS_M
        self._add(
            relief, height, whole, octaves, self._octaves(1.5 * spacing_m),
            crater_octaves, self._crater_octaves(3.0 * spacing_m),
        )  # fmt: skip
        return Patch(relief.to_host(height), frame, first_column * step, first_row * step, step)

    def _coarse(self, window: Window, relief: Relief) -> tuple[Any, int, int]:
        """Heights of a window without its finest scales, and the octaves of relief in them."""
        spacing_m = window.step * REFERENCE_RADIUS_M
        if spacing_m >= _DIRECT_SHARE * self.grid.spacing_m:
            return relief.interpolated(self.grid, window), 0, 1
        parent = window.parent()
        coarse, octaves, crater_octaves = self._coarse(parent, relief)
        # What a parent's samples draw well enough to be interpolated.
        wide_octaves = self._octaves(16.0 * spacing_m)
        wide_crater_octaves = self._crater_octaves(48.0 * spacing_m)
        self._add(
            relief, coarse, parent, octaves, wide_octaves, crater_octaves, wide_crater_octaves
        )
        height = relief.refined(
            coarse,
            window.first_row - 2 * parent.first_row,
            window.first_column - 2 * parent.first_column,
            window,
        )
        return height, max(octaves, wide_octaves), max(crater_octaves, wide_crater_octaves)

    def _octaves(self, least_lattice_m: float) -> int:
        """How many octaves of relief have a lattice of at least a width; none without relief."""
        if self.relief.fractal <= 0.0:
            return 0
        return max(0, 1 + math.floor(math.log2(self.grid.spacing_m / least_lattice_m) + 1e-9))

    def _crater_octaves(self, least_diameter_m: float) -> int:
        """One more than the last octave of craters of at least a diameter; the first is 1."""
        if self.relief.craters <= 0.0:
            return 1
        largest_m = _LARGEST_CRATER_PX * self.grid.spacing_m
        return max(1, 1 + math.floor(math.log2(largest_m / least_diameter_m) + 1e-9))

    def _add(
        self,
        relief: Relief,
        height: Any,
        window: Window,
        first_octave: int,
        octaves: int,
        first_crater_octave: int,
        crater_octaves: int,
    ) -> None:
        """Add octaves of relief and of craters to a window's heights, in place."""
        if octaves > first_octave:
            scales = Octaves(
                first_octave,
                octaves,
                self._at_nodes(window, self._roughness.strength),
                self._at_nodes(window, self._roughness.decay),
                self.grid.spacing_m,
                self._octaves(self.relief.regolith_m),
                2.0**-self.relief.regolith_hurst,
                seed_word(self.seed, RELIEF),
            )
            relief.roughen(height, window, scales)
        if crater_octaves > first_crater_octave:
            craters = self._craters(window, first_crater_octave, crater_octaves)
            relief.dig(height, window, craters, self.relief.craters)

    def _craters(self, window: Window, first: int, last: int) -> Array:
        """Craters of octaves first to last - 1 that reach into a window: see `draw_craters`."""
        found: list[Array] = []
        word = seed_word(self.seed, CRATERS)
        for octave in range(first, last):
            diameter_m = _LARGEST_CRATER_PX * self.grid.spacing_m * 2.0**-octave
            # The octave's largest is twice as wide; gnomonic stretch within a patch is small.
            margin = 1.2 * EJECTA_REACH * diameter_m / REFERENCE_RADIUS_M
            box = window.box
            wide = np.array([box[0] - margin, box[1] + margin, box[2] - margin, box[3] + margin])
            bounds = _geographic_bounds(window.frame, wide)
            diameter_km = diameter_m * 1e-3
            age = self.relief.crater_age_gyr
            per_km2 = density_per_km2(diameter_km, age) - density_per_km2(2 * diameter_km, age)
            cell_rad = 20.0 * diameter_m / REFERENCE_RADIUS_M
            mean = per_km2 * (20.0 * diameter_km) ** 2
            area_km2 = (wide[1] - wide[0]) * (wide[3] - wide[2]) * (REFERENCE_RADIUS_M * 1e-3) ** 2
            expected = per_km2 * area_km2
            out = np.empty((int(1.2 * expected + 10.0 * math.sqrt(expected) + 100), 5))
            count = draw_craters(
                octave,
                cell_rad,
                mean,
                diameter_m,
                bounds,
                window.frame,
                wide,
                word,
                oldest_wear(diameter_km, age),
                out,
            )
            found.append(out[:count])
        return np.concatenate(found)

    def highland_share(self, patch: Patch) -> Array32:
        """How much the ground is highland (1) or mare (0), at nodes that span a patch.

        Maria are dark and smooth: the share rises with the differential slope at about 1 km
        (Rosenburg et al. 2011, Fig. 4), one half at 2 degrees.
        """
        rows, columns = patch.height_m.shape
        first_row, first_column = round(patch.v0 / patch.step), round(patch.u0 / patch.step)
        window = Window(patch.frame, first_row, first_column, rows, columns, patch.step)
        return self._at_nodes(window, self._roughness.highland)

    def _at_nodes(self, window: Window, values: Array32) -> Array32:
        """Values on the roughness grid, at nodes that span a window corner to corner."""
        grid, every = self.grid, _ROUGHNESS_STRIDE
        spacing = every * math.radians(abs(grid.step_latitude_deg))
        nodes = [
            int(np.clip(math.ceil(count * window.step / spacing), 1, 1024)) + 1
            for count in (window.rows, window.columns)
        ]
        v = window.v0 + window.step * np.linspace(0.0, window.rows - 1, nodes[0])
        u = window.u0 + window.step * np.linspace(0.0, window.columns - 1, nodes[1])
        points = window.frame[2] + u[:, None] * window.frame[0] + v[:, None, None] * window.frame[1]
        latitude = np.degrees(np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1])))
        longitude = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
        row, column = grid.indices(latitude, longitude)
        return _bilinear(values, row / every, column / every)


@dataclass(frozen=True)
class _Roughness:
    """On every _ROUGHNESS_STRIDE-th pixel of the map.

    strength: amplitude of the first octave of relief, metres. decay: factor to the next. highland:
    share.
    """

    strength: Array32
    decay: Array32
    highland: Array32


def _bilinear(values: Array32, row: Array, column: Array) -> Array32:
    """Values between the nodes of a grid, those of its edge beyond it."""
    row = np.clip(row, 0.0, values.shape[0] - 1.001)
    column = np.clip(column, 0.0, values.shape[1] - 1.001)
    r, c = row.astype(np.int64), column.astype(np.int64)
    fr, fc = row - r, column - c
    near = (1.0 - fc) * values[r, c] + fc * values[r, c + 1]
    far = (1.0 - fc) * values[r + 1, c] + fc * values[r + 1, c + 1]
    return np.asarray((1.0 - fr) * near + fr * far, dtype=np.float32)


def _geographic_bounds(frame: Array, box: Array) -> Array:
    """Lowest and highest latitude, middle longitude and half width of a gnomonic box, radians."""
    across = np.linspace(0.0, 1.0, 33)
    u = box[0] + (box[1] - box[0]) * across
    v = box[2] + (box[3] - box[2]) * across
    uu, vv = np.meshgrid(u, v)
    points = frame[2] + uu[..., None] * frame[0] + vv[..., None] * frame[1]
    latitude = np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1]))
    middle = math.atan2(*(frame[2] + u.mean() * frame[0] + v.mean() * frame[1])[1::-1])
    longitude = np.arctan2(points[..., 1], points[..., 0]) - middle
    half = float(np.abs((longitude + np.pi) % (2 * np.pi) - np.pi).max())
    spare = 0.5 * max(u[1] - u[0], v[1] - v[0])
    low, high = float(latitude.min()) - spare, float(latitude.max()) + spare
    # A pole inside the box: every longitude may occur.
    if max(abs(low), abs(high)) > math.radians(89.0) or half > 2.0:
        half = math.pi
        low = -0.5 * math.pi if low < -math.radians(85.0) else low
        high = 0.5 * math.pi if high > math.radians(85.0) else high
    return np.array(
        [low, high, middle, half + spare / max(math.cos(max(abs(low), abs(high))), 0.02)]
    )
