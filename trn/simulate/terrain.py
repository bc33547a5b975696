"""The true ground: a map's own grid, brought down to metres by relief that the map cannot show.

`TruthTerrain` answers for any place; `Patch` is its surface around one view, as a grid of
heights in gnomonic coordinates. In them every straight ray is a straight line and the way from
ray to grid takes two divisions, at any latitude, poles included.

Relief below the map's grid is (a) fractal noise as strong as the map is rough (`roughness`), and
(b) small craters. Both depend on place and seed alone, so that overlapping patches agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.bands import over_bands
from trn.simulate.crater_field import CraterOctave, crater_octave, drawn
from trn.simulate.height_grid import HeightGrid
from trn.simulate.noise import seed_word
from trn.simulate.patch import Heights, Patch, packed
from trn.simulate.raycast import cast_many
from trn.simulate.relief import add_octaves, fill_map, refine, stamp_all
from trn.simulate.roughness import Roughness, roughness_of
from trn.simulate.window import Window

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

RELIEF, CRATERS, ALBEDO = 1, 2, 3
"""Purposes of a seed (`noise.seed_word`)."""

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


@dataclass(frozen=True, eq=False)
class Octaves:
    """Fractal octaves first to last - 1, as `relief.add_octaves` takes them but for the nodes."""

    first: int
    last: int
    roughness: Roughness
    lattice_m: float
    regolith_octave: int
    regolith_decay: float
    seed: np.uint64


class Relief(Protocol):
    """What fills windows with heights, which it holds in arrays of its own (`Any`)."""

    def held(self, fill: Callable[[Relief], Any]) -> Array32 | Heights:
        """The heights that `fill` makes with this relief, or with another where this one fails."""
        ...

    def ranges_m(self, patches: Sequence[Patch], origin_m: Array, rays: Array) -> Array:
        """Distances from an origin along rays, (N, 3), to the ground of patches, or NaN.

        patches: of one surface, in whose axes origin and rays are.
        """
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

    def dig(
        self, height: Any, window: Window, octaves: Sequence[CraterOctave], strength: float
    ) -> None:
        """Add craters, in place and in the order in which they are drawn."""
        ...


class CpuRelief:
    """Relief by Numba, its rows shared out over threads."""

    def held(self, fill: Callable[[Relief], Any]) -> Array32:
        """See Relief.held."""
        height: Array32 = fill(self)
        return height

    def ranges_m(self, patches: Sequence[Patch], origin_m: Array, rays: Array) -> Array:
        """See Relief.ranges_m."""
        ranges = np.empty(len(rays))
        cast_many(origin_m, rays, *packed(patches), ranges)
        return ranges

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
        rough = octaves.roughness
        strength, decay = rough.at_nodes(window, rough.strength, rough.decay)

        def work(first: int, last: int) -> None:
            add_octaves(height, first, last, window.frame, window.u0, window.v0, window.step,
                        strength, decay, octaves.first, octaves.last,
                        octaves.lattice_m, octaves.regolith_octave, octaves.regolith_decay,
                        octaves.seed)  # fmt: skip

        over_bands(work, window.rows)

    def dig(
        self, height: Array32, window: Window, octaves: Sequence[CraterOctave], strength: float
    ) -> None:
        """See Relief.dig."""
        craters = drawn(window, octaves)

        def work(first: int, last: int) -> None:
            stamp_all(height, first, last, window.frame, window.u0, window.v0, window.step,
                      craters, strength)  # fmt: skip

        over_bands(work, window.rows)


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
        spare = 8.0 * float(self.roughness.strength.max()) + 100.0
        return float(self.grid.height_m.min()) - spare, float(self.grid.height_m.max()) + spare

    @cached_property
    def roughness(self) -> Roughness:
        """What the map's own slopes say of the relief below it."""
        return roughness_of(self.grid, self.relief.fractal)

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
        first_column, first_row = math.floor(box[0] / step), math.floor(box[2] / step)
        columns = math.ceil(box[1] / step) - first_column + 1
        rows = math.ceil(box[3] / step) - first_row + 1
        frame = np.ascontiguousarray(frame, dtype=np.float64)
        window = Window(frame, first_row, first_column, rows, columns, step)
        heights = (relief or CpuRelief()).held(lambda by: self._filled(window, by))
        return Patch(heights, frame, window.u0, window.v0, step)

    def _filled(self, window: Window, relief: Relief) -> Any:
        """Heights of a window, by a relief."""
        height, octaves, crater_octaves = self._coarse(window, relief)
        spacing_m = window.step * REFERENCE_RADIUS_M
        self._add(
            relief, height, window, octaves, self._octaves(1.5 * spacing_m),
            crater_octaves, self._crater_octaves(3.0 * spacing_m),
        )  # fmt: skip
        return height

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
                self.roughness,
                self.grid.spacing_m,
                self._octaves(self.relief.regolith_m),
                2.0**-self.relief.regolith_hurst,
                seed_word(self.seed, RELIEF),
            )
            relief.roughen(height, window, scales)
        if crater_octaves > first_crater_octave:
            craters = [self._craters(k) for k in range(first_crater_octave, crater_octaves)]
            relief.dig(height, window, craters, self.relief.craters)

    def _craters(self, octave: int) -> CraterOctave:
        """Craters of one octave: the first has the largest."""
        diameter_m = _LARGEST_CRATER_PX * self.grid.spacing_m * 2.0**-octave
        word = seed_word(self.seed, CRATERS)
        return crater_octave(octave, diameter_m, self.relief.crater_age_gyr, word)
