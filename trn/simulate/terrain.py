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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numba
import numpy as np
import rasterio
from numpy.typing import NDArray

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.bands import over_bands
from trn.simulate.craters import density_per_km2, place_seed, poisson, stamp
from trn.simulate.noise import lattice_noise, next_uniform, seed_word

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

RELIEF, CRATERS, ALBEDO = 1, 2, 3
"""Purposes of a seed (`noise.seed_word`)."""

_SMOOTH_HURST, _ROUGH_HURST = 0.75, 0.95
# Differential slope at 8 pixels (about 1 km), degrees, of typical maria and highlands:
# Rosenburg et al. (2011), Fig. 4.
_SMOOTH_SLOPE_DEG, _ROUGH_SLOPE_DEG = 0.7, 5.0
_SLOPE_LAG_PX = 8


@dataclass(frozen=True)
class HeightGrid:
    """Heights on a geographic grid, held at pixel centres.

    height_m: shape (rows, columns), float32, finite, above the reference sphere.
    valid: shape (rows, columns), bool; False where the source had a hole (height_m is a guess).
    latitude_deg, longitude_deg: centre of pixel (0, 0); step_latitude_deg is negative when
    the first row is the northernmost, step_longitude_deg is positive.
    """

    height_m: Array32
    valid: NDArray[np.bool_]
    latitude_deg: float
    longitude_deg: float
    step_latitude_deg: float
    step_longitude_deg: float

    @property
    def spacing_m(self) -> float:
        """Ground distance of two rows."""
        return REFERENCE_RADIUS_M * math.radians(abs(self.step_latitude_deg))

    @property
    def periodic(self) -> bool:
        """Whether the columns go once around the Moon."""
        return bool(abs(self.height_m.shape[1] * self.step_longitude_deg - 360.0) < 1e-6)

    @classmethod
    def from_geotiff(cls, path: str | Path) -> HeightGrid:
        """Read a GeoTIFF of heights on a geographic grid, whole.

        Whole-metre heights are smoothed within their rounding (half a metre either way), which
        takes the terraces out of flat ground. Raises InputError where it is not such a file.
        """
        try:
            with rasterio.open(path) as source:
                transform, crs = source.transform, source.crs
                whole_metres = np.issubdtype(np.dtype(source.dtypes[0]), np.integer)
                band = source.read(1, masked=True)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{path}: not a readable GeoTIFF ({error})") from error
        if crs is None or not crs.is_geographic or transform.b or transform.d:
            raise InputError(f"{path}: crs: truth terrain needs an unrotated geographic grid")
        if abs(transform.e) <= 0.0 or transform.a <= 0.0:
            raise InputError(f"{path}: transform: columns must run eastwards")
        valid = ~np.ma.getmaskarray(band)
        height = _holes_filled(band.filled(0).astype(np.float32), valid)
        if not np.all(np.isfinite(height)):
            raise InputError(f"{path}: band 1: heights that are not finite and not marked nodata")
        return cls(
            _unrounded(height) if whole_metres else height,
            valid,
            transform.f + 0.5 * transform.e,
            transform.c + 0.5 * transform.a,
            transform.e,
            transform.a,
        )


def _holes_filled(height_m: Array32, valid: NDArray[np.bool_]) -> Array32:
    """Holes take the mean of valid heights around them, looked for ever farther away."""
    if valid.all():
        return height_m
    if not valid.any():
        raise InputError("height grid: every pixel is nodata; give a map with data")
    filled = np.where(valid, height_m, 0.0).astype(np.float32)
    known = valid.copy()
    size = 9
    while not known.all():
        weight = cv2.blur(known.astype(np.float32), (size, size))
        total = cv2.blur(np.where(known, filled, 0.0).astype(np.float32), (size, size))
        found = ~known & (weight > 1e-6)
        filled[found] = total[found] / weight[found]
        known |= found
        size = min(2 * size + 1, 2 * max(height_m.shape) + 1)
    return filled


def _unrounded(height_m: Array32) -> Array32:
    """Heights rounded to whole metres, smoothed within the rounding where ground is flat.

    On rough ground the rounding hides among the slopes and heights are left as they are.
    """
    smooth = height_m
    for _ in range(6):
        blurred = cv2.GaussianBlur(smooth, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT)
        smooth = np.clip(blurred, height_m - 0.5, height_m + 0.5).astype(np.float32)
    bend = height_m - cv2.GaussianBlur(height_m, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT)
    power = cv2.GaussianBlur(bend * bend, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT)
    flat = 1.0 / (1.0 + power * power)
    return np.asarray(height_m + flat * (smooth - height_m), dtype=np.float32)


@dataclass(frozen=True)
class ReliefSettings:
    """What is added below the map's grid.

    fractal, craters: strength, 1 as measured and published, 0 none.
    crater_age_gyr: age of the surface for the production function.
    """

    fractal: float = 1.0
    craters: float = 1.0
    crater_age_gyr: float = 3.5


@dataclass(frozen=True)
class Patch:
    """The true surface around a view: heights on a gnomonic grid.

    height_m: shape (rows, columns), float32. frame: shape (3, 3), rows are the grid's two axes
    and up at its centre, body-fixed. Sample (row, column) lies in the direction
    up + (u0 + column * step) axis_u + (v0 + row * step) axis_v. Between samples the surface is
    bilinear; its shading normal is that of smooth (central) differences.
    """

    height_m: Array32
    frame: Array
    u0: float
    v0: float
    step: float

    @property
    def spacing_m(self) -> float:
        """Ground distance of neighbouring samples at the centre."""
        return self.step * REFERENCE_RADIUS_M

    @property
    def height_range_m(self) -> tuple[float, float]:
        """Lowest and highest height."""
        return float(self.height_m.min()), float(self.height_m.max())

    def height_at(self, positions_m: Array) -> Array:
        """Height of the surface below body-fixed points, shape (..., 3); NaN off the grid."""
        local = np.asarray(positions_m, dtype=np.float64) @ self.frame.T
        with np.errstate(divide="ignore", invalid="ignore"):
            column = (local[..., 0] / local[..., 2] - self.u0) / self.step
            row = (local[..., 1] / local[..., 2] - self.v0) / self.step
        rows, columns = self.height_m.shape
        inside = (
            (local[..., 2] > 0)
            & (column >= 0)
            & (row >= 0)
            & (column <= columns - 1)
            & (row <= rows - 1)
        )
        column, row = np.where(inside, column, 0.0), np.where(inside, row, 0.0)
        c = np.minimum(column.astype(np.int64), columns - 2)
        r = np.minimum(row.astype(np.int64), rows - 2)
        fc, fr = column - c, row - r
        h = self.height_m
        value = (1 - fr) * ((1 - fc) * h[r, c] + fc * h[r, c + 1]) + fr * (
            (1 - fc) * h[r + 1, c] + fc * h[r + 1, c + 1]
        )
        return np.where(inside, value, np.nan)


@numba.njit(cache=True, nogil=True)
def _mirrored(index: int, count: int) -> int:
    """Index folded back into the grid, the edge pixel not repeated."""
    period = 2 * (count - 1)
    index = index % period
    return index if index < count else period - index


@numba.njit(cache=True, nogil=True)
def _cubic(f: float, w: Any) -> None:
    """Weights of Catmull-Rom interpolation (Keys 1981, a = -1/2)."""
    w[0] = f * (-0.5 + f * (1.0 - 0.5 * f))
    w[1] = 1.0 + f * f * (-2.5 + 1.5 * f)
    w[2] = f * (0.5 + f * (2.0 - 1.5 * f))
    w[3] = f * f * (-0.5 + 0.5 * f)


@numba.njit(cache=True, nogil=True)
def _fill(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    native: Any,
    geo: Any,
    periodic: bool,
    strength: Any,
    decay: Any,
    every: int,
    lattice_m: float,
    octaves: int,
    seed: np.uint64,
) -> None:
    """Rows first <= row < last of a patch: interpolated map plus fractal relief.

    geo: latitude and longitude of pixel (0, 0) and their steps, radians. strength, decay: on
    every `every`-th native pixel, the amplitude of the first octave (metres) and its factor from
    each octave to the next.
    """
    rows, columns = native.shape
    middle = geo[1] + 0.5 * (columns - 1) * geo[3]
    wr, wc = np.empty(4), np.empty(4)
    gradients = np.empty((max(octaves, 1), 8, 3))
    cells = np.full((max(octaves, 1), 3), np.int64(-(2**62)))
    for row in range(first, last):
        v = v0 + row * step
        for column in range(out.shape[1]):
            u = u0 + column * step
            scale = 1.0 / math.sqrt(1.0 + u * u + v * v)
            x = (frame[2, 0] + u * frame[0, 0] + v * frame[1, 0]) * scale
            y = (frame[2, 1] + u * frame[0, 1] + v * frame[1, 1]) * scale
            z = (frame[2, 2] + u * frame[0, 2] + v * frame[1, 2]) * scale
            latitude = math.atan2(z, math.sqrt(x * x + y * y))
            from_middle = math.atan2(y, x) - middle
            from_middle -= 2.0 * math.pi * math.floor(from_middle / (2.0 * math.pi) + 0.5)
            at_row = (latitude - geo[0]) / geo[2]
            at_column = 0.5 * (columns - 1) + from_middle / geo[3]
            base_row, base_column = math.floor(at_row), math.floor(at_column)
            _cubic(at_row - base_row, wr)
            _cubic(at_column - base_column, wc)
            ir, ic = int(base_row), int(base_column)
            height = 0.0
            inner = 1 <= ir < rows - 2 and 1 <= ic < columns - 2
            for a in range(4):
                r = ir - 1 + a
                if not inner:
                    r = _mirrored(r, rows)
                line = 0.0
                for b in range(4):
                    c = ic - 1 + b
                    if not inner:
                        c = c % columns if periodic else _mirrored(c, columns)
                    line += wc[b] * native[r, c]
                height += wr[a] * line
            if octaves > 0:
                cr = min(max(at_row / every, 0.0), strength.shape[0] - 1.001)
                cc = min(max(at_column / every, 0.0), strength.shape[1] - 1.001)
                r, c = int(cr), int(cc)
                fr, fc = cr - r, cc - c
                amplitude = (1 - fr) * (
                    (1 - fc) * strength[r, c] + fc * strength[r, c + 1]
                ) + fr * ((1 - fc) * strength[r + 1, c] + fc * strength[r + 1, c + 1])
                factor = decay[r, c]
                per_lattice = REFERENCE_RADIUS_M / lattice_m
                for k in range(octaves):
                    height += amplitude * lattice_noise(
                        x * per_lattice,
                        y * per_lattice,
                        z * per_lattice,
                        seed + np.uint64(k),
                        gradients[k],
                        cells[k],
                    )
                    amplitude *= factor
                    per_lattice *= 2.0
            out[row, column] = height


@numba.njit(cache=True, nogil=True)
def _draw_craters(
    level: int,
    cell_rad: float,
    mean_per_cell: float,
    diameter_m: float,
    bounds: Any,
    frame: Any,
    box: Any,
    seed: np.uint64,
    out: Any,
) -> int:
    """Craters of one octave of diameter inside a patch; returns how many were put into out.

    bounds: latitude and longitude (centre and half width) that cover the patch, radians.
    box: the patch's limits in gnomonic coordinates. out columns: unit vector, diameter, strength.
    """
    count = 0
    state = np.empty(1, np.uint64)
    first_band = math.floor(bounds[0] / cell_rad)
    last_band = math.floor(bounds[1] / cell_rad)
    for band in range(first_band, last_band + 1):
        low = max(band * cell_rad, -0.5 * math.pi)
        high = min((band + 1) * cell_rad, 0.5 * math.pi)
        if high <= low:
            continue
        cosine = max(math.cos(0.5 * (low + high)), 1e-3)
        cells = max(1, round(2.0 * math.pi * cosine / cell_rad))
        width = 2.0 * math.pi / cells
        share = width * (math.sin(high) - math.sin(low)) / (cell_rad * cell_rad)
        reach = math.ceil(bounds[3] / width) + 1
        middle = math.floor(bounds[2] / width)
        if 2 * reach + 1 >= cells:
            start, stop = 0, cells
        else:
            start, stop = middle - reach, middle + reach + 1
        for cell in range(start, stop):
            state[0] = place_seed(seed, level, band, cell % cells)
            number = poisson(mean_per_cell * share, state)
            for _ in range(number):
                sine = math.sin(low) + next_uniform(state) * (math.sin(high) - math.sin(low))
                longitude = (cell % cells + next_uniform(state)) * width
                # Cumulative density falls as D^-2 within the octave.
                size = diameter_m / math.sqrt(1.0 - 0.75 * next_uniform(state))
                # Fresh (1) to a tenth of the depth, evenly in its logarithm.
                strength = 10.0 ** -next_uniform(state)
                cosine_lat = math.sqrt(1.0 - sine * sine)
                x, y, z = cosine_lat * math.cos(longitude), cosine_lat * math.sin(longitude), sine
                up = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z
                if up <= 0.1:
                    continue
                u = (frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z) / up
                v = (frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z) / up
                if u < box[0] or u > box[1] or v < box[2] or v > box[3]:
                    continue
                if count == out.shape[0]:
                    return count
                out[count, 0], out[count, 1], out[count, 2] = x, y, z
                out[count, 3], out[count, 4] = size, strength
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _stamp_all(
    out: Any,
    first: int,
    last: int,
    frame: Any,
    u0: float,
    v0: float,
    step: float,
    craters: Any,
    strength: float,
) -> None:
    for k in range(craters.shape[0]):
        stamp(out, frame, u0, v0, step, craters[k, :3], craters[k, 3],
              strength * craters[k, 4], first, last)  # fmt: skip


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
        spare = 8.0 * float(self._roughness[0].max()) + 100.0
        return float(self.grid.height_m.min()) - spare, float(self.grid.height_m.max()) + spare

    @cached_property
    def _roughness(self) -> tuple[Array32, Array32, int]:
        """Amplitude of the first octave, factor to the next, and the stride of both in pixels."""
        height = self.grid.height_m
        rows, columns = height.shape
        every = 8
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
        return first.astype(np.float32), (2.0**-hurst).astype(np.float32), every

    def patch(self, frame: Array, box: tuple[float, float, float, float], step: float) -> Patch:
        """The surface inside a box of gnomonic coordinates.

        frame: shape (3, 3), rows axis_u, axis_v and up, body-fixed, orthonormal.
        box: (u_min, u_max, v_min, v_max). step: grid step (radians at the centre); relief goes
        down to it. Samples lie on whole multiples of the step.
        """
        first_column, first_row = math.floor(box[0] / step), math.floor(box[2] / step)
        columns = math.ceil(box[1] / step) - first_column + 1
        rows = math.ceil(box[3] / step) - first_row + 1
        u0, v0 = first_column * step, first_row * step
        spacing_m = step * REFERENCE_RADIUS_M
        grid = self.grid
        geo = np.radians(
            [grid.latitude_deg, grid.longitude_deg, grid.step_latitude_deg, grid.step_longitude_deg]
        )
        strength, decay, every = self._roughness
        octaves = 0
        if self.relief.fractal > 0.0:
            # An octave is drawn while its lattice is wider than one and a half samples.
            octaves = max(0, 1 + math.floor(math.log2(grid.spacing_m / (1.5 * spacing_m))))
        out = np.empty((rows, columns), np.float32)
        frame = np.ascontiguousarray(frame, dtype=np.float64)
        word = seed_word(self.seed, RELIEF)
        craters = self._craters(frame, (u0, u0 + columns * step, v0, v0 + rows * step), spacing_m)

        def work(first: int, last: int) -> None:
            _fill(out, first, last, frame, u0, v0, step, grid.height_m, geo, grid.periodic,
                  strength, decay, every, grid.spacing_m, octaves, word)  # fmt: skip
            _stamp_all(out, first, last, frame, u0, v0, step, craters, self.relief.craters)

        over_bands(work, rows)
        return Patch(out, frame, u0, v0, step)

    def _craters(
        self, frame: Array, box: tuple[float, float, float, float], spacing_m: float
    ) -> Array:
        """Craters too small for the map yet visible at a spacing: unit vector, diameter, wear."""
        found: list[Array] = []
        if self.relief.craters <= 0.0:
            return np.empty((0, 5))
        largest_m = 3.0 * self.grid.spacing_m
        margin = 1.5 * largest_m / REFERENCE_RADIUS_M
        wide = np.array([box[0] - margin, box[1] + margin, box[2] - margin, box[3] + margin])
        bounds = _geographic_bounds(frame, wide)
        word = seed_word(self.seed, CRATERS)
        octave = 1
        while largest_m * 2.0**-octave >= 3.0 * spacing_m:
            diameter_m = largest_m * 2.0**-octave
            diameter_km = diameter_m * 1e-3
            age = self.relief.crater_age_gyr
            per_km2 = density_per_km2(diameter_km, age) - density_per_km2(2 * diameter_km, age)
            cell_rad = 20.0 * diameter_m / REFERENCE_RADIUS_M
            mean = per_km2 * (20.0 * diameter_km) ** 2
            area_km2 = (wide[1] - wide[0]) * (wide[3] - wide[2]) * (REFERENCE_RADIUS_M * 1e-3) ** 2
            expected = per_km2 * area_km2
            out = np.empty((int(1.2 * expected + 10.0 * math.sqrt(expected) + 100), 5))
            count = _draw_craters(
                octave, cell_rad, mean, diameter_m, bounds, frame, wide, word, out
            )
            found.append(out[:count])
            octave += 1
        return np.concatenate(found) if found else np.empty((0, 5))


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
