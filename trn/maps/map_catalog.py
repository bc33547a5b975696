"""A map's own crater catalogue: what of a list lies on the map, and what was found in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import write_catalog
from trn.maps.lunar_map import MapBounds
from trn.maps.map_craters import MapCraters
from trn.moon.constants import REFERENCE_RADIUS_M

DEM_SOURCE = "dem"
"""The column `source` of craters that were found in the elevation."""


def craters_within(catalog: CraterCatalog, bounds: MapBounds) -> CraterCatalog:
    """The craters whose rims reach into a region."""
    reach = 0.5 * catalog.diameter_m / REFERENCE_RADIUS_M
    south, north = np.radians([bounds.latitude_min_deg, bounds.latitude_max_deg])
    west, east = np.radians([bounds.longitude_west_deg, bounds.longitude_east_deg])
    keep = (catalog.latitude + reach >= south) & (catalog.latitude - reach <= north)
    span = np.mod(east - west, 2.0 * np.pi) or 2.0 * np.pi
    # How far a circle about a point reaches in longitude; all around where it holds a pole.
    sine = np.sin(reach) / np.maximum(np.cos(catalog.latitude), 1e-12)
    aside = np.where(sine < 1.0, np.arcsin(np.minimum(sine, 1.0)), np.pi)
    beyond_west = np.mod(catalog.longitude - west + aside, 2.0 * np.pi)
    return catalog.chosen(keep & (beyond_west <= span + 2.0 * aside))


def write_map_craters(
    path: Path, known: CraterCatalog | None, known_source: str, found: MapCraters | None
) -> bool:
    """Write the craters known and found, largest first; False, and no file, where there are none.

    With found ones there are two columns more: source (known_source, or DEM_SOURCE) and
    repeatability (0 to 1, empty where it was not measured).
    """
    parts = [part for part in (known, None if found is None else found.catalog) if part is not None]
    if sum(map(len, parts)) == 0:
        return False
    catalog = CraterCatalog.joined(parts)
    order = np.argsort(-catalog.diameter_m, kind="stable")
    extra = None
    if found is not None:
        listed = len(catalog) - len(found)
        source = [known_source] * listed + [DEM_SOURCE] * len(found)
        score = [""] * listed + [f"{value:.3f}" for value in found.repeatability]
        extra = {
            "source": [source[k] for k in order],
            "repeatability": [score[k] for k in order],
        }
    write_catalog(path, catalog.chosen(order), extra)
    return True
