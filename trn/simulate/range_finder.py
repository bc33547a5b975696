"""Range finders: the beam's footprint on the true ground, and what the instrument makes of it.

A laser reports the mean range of the light that comes back from its footprint; a radar altimeter,
whose beam is wide, the nearest ground in it. On a slope the footprint's ranges spread, the pulse
is drawn out, and the reading gets noisier (Gardner 1992, IEEE Trans. Geoscience and Remote Sensing
30(5)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from trn.errors import InputError
from trn.moon.constants import REFERENCE_RADIUS_M
from trn.simulate.faults import AltimeterRecord
from trn.simulate.surface import Surface, surface_in_view
from trn.simulate.terrain import TruthTerrain

Array = NDArray[np.float64]

# Half the radar's footprint may be hidden behind a rock: this share of the beam is first to answer.
_FIRST_RETURN_SHARE = 0.05
_SURFACE_SAMPLES = 20_000


@dataclass(frozen=True)
class RangeFinder:
    """One instrument.

    beam_rad: full width of the beam, to 1/e^2 of its intensity. rings: of rays in it, 6 k in ring
    k. returns: "mean" of the footprint or the "first" of it. minimum_range_m, maximum_range_m: what
    it can measure. noise_m, noise_of_range, noise_of_spread: 1 sigma, added in squares; the spread
    is that of the ranges in the footprint. resolution_m: of a reading. dropouts: share of readings
    without an echo. latency_s: age of a reading at its time stamp.
    """

    beam_rad: float = 1e-3
    rings: int = 2
    returns: Literal["mean", "first"] = "mean"
    minimum_range_m: float = 5.0
    maximum_range_m: float = 30_000.0
    noise_m: float = 0.1
    noise_of_range: float = 2e-5
    noise_of_spread: float = 0.2
    resolution_m: float = 0.01
    dropouts: float = 0.002
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError naming the field that no instrument has."""
        for name, value in vars(self).items():
            if name not in ("returns", "rings") and not 0.0 <= value < math.inf:
                raise InputError(f"altimeter: {name} must be zero or more, not {value}")
        if not 0.0 < self.beam_rad < 1.0:
            raise InputError("altimeter: beam_rad must lie between 0 and 1")
        if not 1 <= self.rings <= 10:
            raise InputError("altimeter: rings must be 1 to 10")
        if not self.minimum_range_m < self.maximum_range_m or self.dropouts > 1.0:
            raise InputError("altimeter: minimum_range_m must be below maximum_range_m, dropouts 1")

    def rays(self) -> tuple[Array, Array]:
        """Unit rays (N, 3) about the boresight (z) and their weights (N,), sum 1.

        Rings out to the beam's edge, each ray standing for its share of a Gaussian beam.
        """
        directions, weights = [[0.0, 0.0, 1.0]], [1.0]
        for ring in range(1, self.rings + 1):
            radius = 0.5 * self.beam_rad * ring / self.rings
            for k in range(6 * ring):
                turn = 2.0 * math.pi * k / (6 * ring)
                side = math.sin(radius)
                directions.append([side * math.cos(turn), side * math.sin(turn), math.cos(radius)])
                # Rays of a ring stand for equal areas.
                weights.append(math.exp(-2.0 * (ring / self.rings) ** 2))
        return np.array(directions), np.array(weights) / sum(weights)


def footprint_surface(
    terrain: TruthTerrain, finder: RangeFinder, origin_m: Array, directions: Array
) -> Surface:
    """The ground under a beam, sampled several times between neighbouring rays.

    directions: (N, 3), unit, body-fixed. Raises InputError as `surface_in_view` does.
    """
    spacing_rad = finder.beam_rad / (6.0 * finder.rings)
    return surface_in_view(terrain, origin_m, directions, spacing_rad, samples=_SURFACE_SAMPLES)


def true_range(
    terrain: TruthTerrain, finder: RangeFinder, origin_m: Array, to_beam: Rotation
) -> tuple[float, float]:
    """Noise-free range and the spread of ranges in the footprint, metres; NaN without an echo.

    to_beam: from body-fixed axes to the beam's, boresight z. Out of range is without an echo.
    """
    none = (math.nan, math.nan)
    low, high = terrain.height_range_m
    radius = float(np.linalg.norm(origin_m))
    if radius - REFERENCE_RADIUS_M - high > finder.maximum_range_m:
        return none
    rays, weights = finder.rays()
    directions = to_beam.inv().apply(rays)
    along = float(directions[0] @ origin_m)
    reach = math.sqrt(max(radius**2 - (REFERENCE_RADIUS_M + low) ** 2, 0.0))
    if along >= 0.0 or radius**2 - along**2 > (REFERENCE_RADIUS_M + high) ** 2:
        return none
    try:
        surface = footprint_surface(terrain, finder, origin_m, directions)
    except InputError:
        return none
    ranges = surface.ranges_m(origin_m, directions)
    met = np.isfinite(ranges) & (ranges <= 1.01 * reach + 1.0)
    if weights[met].sum() < 0.5:
        return none
    ranges, weights = ranges[met], weights[met] / weights[met].sum()
    mean = float(weights @ ranges)
    spread = math.sqrt(float(weights @ (ranges - mean) ** 2))
    if finder.returns == "first":
        order = np.argsort(ranges)
        reached = np.searchsorted(np.cumsum(weights[order]), _FIRST_RETURN_SHARE)
        mean = float(ranges[order[min(int(reached), ranges.size - 1)]])
    if not finder.minimum_range_m <= mean <= finder.maximum_range_m:
        return none
    return mean, spread


def measured(
    finder: RangeFinder, time_s: Array, ranges_m: Array, spreads_m: Array, seed: int
) -> AltimeterRecord:
    """What the instrument reports of noise-free ranges (NaN: no echo), the same for a seed.

    time_s, ranges_m, spreads_m: (N,). Without an echo the range is 0 and not valid.
    """
    rng = np.random.default_rng([seed, 3])
    noise, lost = rng.normal(size=time_s.size), rng.random(time_s.size)
    sigma = np.sqrt(
        finder.noise_m**2
        + (finder.noise_of_range * ranges_m) ** 2
        + (finder.noise_of_spread * spreads_m) ** 2
    )
    reading = ranges_m + sigma * noise
    if finder.resolution_m > 0.0:
        reading = np.round(reading / finder.resolution_m) * finder.resolution_m
    valid = np.isfinite(reading) & (lost >= finder.dropouts)
    return AltimeterRecord(time_s, np.where(valid, np.maximum(reading, 0.0), 0.0), valid)


LASER = RangeFinder()
"""A pulsed laser range finder: 30 km and decimetres, as Chang'e 3's (Jiang et al. 2014,
Science China Technological Sciences 57); the rest of the usual size for the kind."""

RADAR = RangeFinder(
    beam_rad=math.radians(20.0), rings=6, returns="first", minimum_range_m=2.0,
    maximum_range_m=8_000.0, noise_m=0.5, noise_of_range=5e-3, noise_of_spread=0.0,
    resolution_m=0.1, dropouts=0.001,
)  # fmt: skip
"""A pulsed radar altimeter: a beam of some 20 degrees and half a per cent of the range."""

PRESETS = {"laser": LASER, "radar": RADAR}
