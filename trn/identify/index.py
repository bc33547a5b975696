"""A crater catalogue made ready for identification: rims in MOON_ME."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.identify.triads import Triads, catalogue_triads
from trn.maps.catalog import CraterCatalog
from trn.moon.frames import east_north_up_at, position_from_geographic

Array = NDArray[np.float64]

LARGEST_M = 400_000.0
"""Diameter beyond which a rim is no plane ellipse on the sphere; basins are left out."""


@dataclass(frozen=True, eq=False)
class CraterIndex:
    """Rims as arrays: points centre + cos(t) first + sin(t) second, metres, MOON_ME.

    number: (N,), place in the catalogue. id: (N,) of str. centre, normal (unit), first, second:
    (N, 3). radius_m: (N,), mean. height_known: (N,), whether the rim's height is. Triads for
    identification without attitude are made when first asked for (about two seconds for 25,000
    craters).
    """

    number: NDArray[np.int64]
    id: NDArray[np.str_]
    centre: Array
    normal: Array
    first: Array
    second: Array
    radius_m: Array
    height_known: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.radius_m.size)

    @classmethod
    def of(
        cls, catalog: CraterCatalog, height_m: Any = 0.0, height_known: Any = True
    ) -> CraterIndex:
        """An index of a catalogue whose rims stand height_m, (N,) or one, above the sphere.

        height_known: bool, (N,) or one; where it is not, height_m is a guess, and poses from these
        craters are the less sure (trn.identify.heights).
        """
        sizes = np.stack([catalog.diameter_m, catalog.major_m, catalog.minor_m], -1)
        places = np.stack([catalog.latitude, catalog.longitude, catalog.angle], -1)
        height = np.broadcast_to(np.asarray(height_m, dtype=np.float64), catalog.diameter_m.shape)
        known = np.broadcast_to(np.asarray(height_known, dtype=np.bool_), height.shape)
        usable = np.isfinite(sizes).all(-1) & np.isfinite(places).all(-1) & np.isfinite(height)
        usable &= (sizes > 0.0).all(-1) & (sizes < LARGEST_M).all(-1)
        number = np.flatnonzero(usable)
        kept = catalog.chosen(number)
        east, north, normal = east_north_up_at(kept.latitude, kept.longitude)
        c, s = np.cos(kept.angle)[:, None], np.sin(kept.angle)[:, None]
        return cls(
            number,
            kept.id,
            position_from_geographic(kept.latitude, kept.longitude, height[number]),
            normal,
            0.5 * kept.major_m[:, None] * (c * east + s * north),
            0.5 * kept.minor_m[:, None] * (c * north - s * east),
            0.5 * np.sqrt(kept.major_m * kept.minor_m),
            known[number],
        )

    @cached_property
    def triads(self) -> Triads:
        """Triads of neighbouring craters, searchable by their shape."""
        return catalogue_triads(self.normal, self.radius_m)
