"""A made-up Moon of craters for the identification tests, and a catalogue file of it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from trn.identify import CraterIndex
from trn.maps.catalog import CraterCatalog

LEAST_M = 8_000.0


@lru_cache(maxsize=1)
def moon_catalog(count: int = 9000) -> CraterCatalog:
    """Craters above 8 km anywhere on the Moon, as many above D as D^-2."""
    generator = np.random.default_rng(11)
    diameter = np.sort(LEAST_M * generator.uniform(0.002, 1.0, count) ** -0.5)[::-1]
    long = diameter * np.exp(0.06 * np.abs(generator.normal(size=count)))
    return CraterCatalog(
        np.array([f"m{k}" for k in range(count)]),
        np.arcsin(generator.uniform(-1.0, 1.0, count)),
        generator.uniform(-math.pi, math.pi, count),
        diameter,
        long,
        diameter**2 / long,
        generator.uniform(0.0, math.pi, count),
    )


@lru_cache(maxsize=1)
def moon_index() -> CraterIndex:
    """The index of that Moon."""
    return CraterIndex.of(moon_catalog())
