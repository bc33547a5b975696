"""Crater catalogues: where the rims stand on the Moon, from the files that list them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CraterCatalog:
    """Craters as arrays, largest first.

    id: (N,) of str. latitude, longitude: (N,), radians, longitude in (-pi, pi]. diameter_m: (N,),
    mean rim to rim. major_m, minor_m: (N,), full axes of the rim's ellipse in the local tangent
    plane, the diameter where the file has none. angle: (N,), radians, of the major axis from east
    towards north.
    """

    id: NDArray[np.str_]
    latitude: Array
    longitude: Array
    diameter_m: Array
    major_m: Array
    minor_m: Array
    angle: Array

    def __len__(self) -> int:
        return int(self.diameter_m.size)

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> CraterCatalog:
        """The craters that keep, bool (N,) or indices, picks."""
        return CraterCatalog(*(getattr(self, field.name)[keep] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[CraterCatalog]) -> CraterCatalog:
        """The craters of catalogues one after the other; parts must not be empty."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
