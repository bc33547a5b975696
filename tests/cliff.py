"""A small map with a cliff, level flights across it, and what an altimeter reads on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.maps_products import write_raster
from trn.altimetry.belief import Belief
from trn.altimetry.instrument import AltimeterModel
from trn.altimetry.terrain import MapRanges
from trn.backend.cpu import CpuBackend
from trn.maps.build import build_map
from trn.maps.lunar_map import LunarMap
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.moon.frames import east_north_up, position_from_geographic

Array = NDArray[np.float64]

LATITUDE_DEG, LONGITUDE_EAST_DEG = 10.0, 30.0
"""In the middle of the map; the rim runs north to south through it."""
STEP_M = 3000.0
HEIGHT_SIGMA_M = 5.0
PIXELS_PER_DEGREE = 256
HALF_DEG = 1.25
HOLE_DEG = (9.4, 9.6, 29.3, 29.7)
"""Latitudes and longitudes without data."""

DOWN_BEAM = Rotation.identity()
TILTED_BEAM = Rotation.from_euler("y", 20.0, degrees=True)
ALTIMETER = AltimeterModel(
    rate_hz=10.0, beam_rad=0.002, returns="mean", minimum_range_m=2.0, maximum_range_m=15_000.0,
    noise_m=0.5, noise_of_range=5e-4, noise_of_spread=0.5, resolution_m=0.1, dropouts=0.01,
    latency_s=0.0, beams=(DOWN_BEAM, TILTED_BEAM),
)  # fmt: skip


def ground_m(latitude_deg: Any, longitude_deg: Any) -> Array:
    """A plateau in the west, a floor 3 km below it in the east, gentle relief on both."""
    x, y = np.asarray(longitude_deg) - LONGITUDE_EAST_DEG, np.asarray(latitude_deg) - LATITUDE_DEG
    relief = 80.0 * np.sin(22.0 * x + 3.0 * y) + 50.0 * np.cos(31.0 * y - 9.0 * x + 1.0)
    return np.asarray(relief + STEP_M / (1.0 + np.exp(np.clip(x / 0.004, -60.0, 60.0))))


def cliff_map(folder: Path, shift_px: int = 0) -> LunarMap:
    """The map of `ground_m`, some 118 m a pixel, moved east by pixels; made once a folder."""
    out = folder / f"cliff{shift_px}.map"
    if out.exists():
        return LunarMap.open(out)
    count = round(2 * HALF_DEG * PIXELS_PER_DEGREE)
    along = (np.arange(count) + 0.5) / PIXELS_PER_DEGREE
    latitude = LATITUDE_DEG + HALF_DEG - along[:, None]
    longitude = LONGITUDE_EAST_DEG - HALF_DEG + along[None, :]
    heights = ground_m(latitude, longitude).astype(np.float32)
    south, north, west, east = HOLE_DEG
    heights[(latitude > south) & (latitude < north) & (longitude > west) & (longitude < east)] = (
        np.nan
    )
    west_edge = LONGITUDE_EAST_DEG - HALF_DEG + shift_px / PIXELS_PER_DEGREE
    corner = (west_edge, LATITUDE_DEG + HALF_DEG)
    pixel = (1.0 / PIXELS_PER_DEGREE, 1.0 / PIXELS_PER_DEGREE)
    tif = write_raster(folder / f"cliff{shift_px}.tif", heights, corner, pixel, nodata=np.nan)
    return build_map([tif], out, height_sigma_m=HEIGHT_SIGMA_M)


def cliff_ranges(folder: Path, shift_px: int = 0) -> MapRanges:
    """Ranges to that map."""
    return MapRanges(cliff_map(folder, shift_px), CpuBackend())


def place(latitude_deg: float, longitude_deg: float, height_m: float) -> Array:
    """A place, (3,), MOON_ME; its height is above the sphere."""
    return position_from_geographic(np.deg2rad(latitude_deg), np.deg2rad(longitude_deg), height_m)


def level_attitude(position_m: Array) -> Array:
    """Body-fixed to vehicle, (3, 3): x north, y east, z down."""
    east, north, up = east_north_up(position_m)
    return np.array([north, east, -up])


@dataclass(frozen=True)
class Flight:
    """Eastward at a constant speed; time 0 is at the rim.

    climb_m_per_s: of the height above the sphere, which is height_m at the rim. The attitude is
    level at the rim and does not turn.
    """

    latitude_deg: float = LATITUDE_DEG
    height_m: float = 6000.0
    speed_m_per_s: float = 400.0
    climb_m_per_s: float = 0.0
    start: Array = field(init=False, compare=False)
    axes: Array = field(init=False, compare=False)

    def __post_init__(self) -> None:
        start = place(self.latitude_deg, LONGITUDE_EAST_DEG, 0.0)
        object.__setattr__(self, "start", start / np.linalg.norm(start))
        object.__setattr__(self, "axes", east_north_up(start))

    @property
    def rotation(self) -> Array:
        """Body-fixed to vehicle."""
        east, north, up = self.axes
        return np.array([north, east, -up])

    def motion(self, time_s: float) -> tuple[Array, Array, Array]:
        """Position, velocity and acceleration in the body-fixed axes, along a great circle."""
        rate = self.speed_m_per_s / (REFERENCE_RADIUS_M + self.height_m)
        cos, sin = np.cos(rate * time_s), np.sin(rate * time_s)
        up = cos * self.start + sin * self.axes[0]
        along = cos * self.axes[0] - sin * self.start
        radius = REFERENCE_RADIUS_M + self.height_m + self.climb_m_per_s * time_s
        return (
            radius * up,
            radius * rate * along + self.climb_m_per_s * up,
            2.0 * self.climb_m_per_s * rate * along - radius * rate**2 * up,
        )


class Readings:
    """Ranges as an altimeter over the true ground reads them: the map's ground and its error."""

    def __init__(self, ranges: MapRanges, flight: Flight, seed: int) -> None:
        self.ranges, self.flight = ranges, flight
        self.rng = np.random.default_rng(seed)
        self._error_m = float(self.rng.normal(0.0, HEIGHT_SIGMA_M))
        self._before_s: float | None = None

    def range_m(self, time_s: float, beam: int = 0) -> float:
        """A reading of a healthy instrument; times ascend."""
        if self._before_s is not None:
            passed_m = self.flight.speed_m_per_s * (time_s - self._before_s)
            keep = float(np.exp(-passed_m / self.ranges.correlation_length_m))
            fresh = HEIGHT_SIGMA_M * np.sqrt(1.0 - keep**2)
            self._error_m = keep * self._error_m + float(self.rng.normal(0.0, fresh))
        self._before_s = time_s
        position, _, _ = self.flight.motion(time_s)
        direction = self.flight.rotation.T @ ALTIMETER.boresights()[beam]
        true_m = float(self.ranges.ranges_m(position[None], direction[None])[0])
        sigma = np.sqrt(ALTIMETER.variance_m2(true_m, 0.1))
        return true_m - self._error_m + float(self.rng.normal(0.0, sigma))


def honest_belief(
    flight: Flight,
    time_s: float,
    error_m: Array,
    sigma_m: float = 60.0,
    witness_error_m: Array | None = None,
) -> Belief:
    """A navigation that is off by an error, (3,), east, north, up, and says how large it may be."""
    position, velocity, _ = flight.motion(time_s)
    axes = east_north_up(position)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = sigma_m**2 * np.eye(3)
    covariance[3:, 3:] = 1e-4**2 * np.eye(3)
    witness = error_m if witness_error_m is None else witness_error_m
    return Belief(
        time_s, position + error_m @ axes, velocity, flight.rotation, covariance, 0.2,
        position + witness @ axes, 5.0, 1.0,
    )  # fmt: skip
