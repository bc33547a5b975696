"""Craters found in a map's elevation, held against the published catalogue of 1 km and more.

Example: python -m bench.craters_from_dem --json craters.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.tables import data_folder, save, show
from trn.maps import LunarMap, build_map
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog
from trn.maps.map_craters import LEAST_REPEATABILITY, MapCraters, find_map_craters, match_craters
from trn.moon.constants import REFERENCE_RADIUS_M

MAPS = ("atlas", "crisium", "frigoris", "hadley", "tycho")
SIZES_M = (1000.0, 1300.0, 1600.0, 2000.0, 2500.0, 3000.0)
SCORES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.001)
MARGIN_DEG = 0.2
"""Strip along the map's edge that is left out, for what crosses it cannot be found."""

CHANCE_DEG = 0.15
"""How far the catalogue is moved to see what matches by chance."""

LEAST_MATCHED_M = 800.0
"""The catalogue is complete from 1 km on; found sizes err by a tenth or two."""

PICTURE_SUN = (-0.85, 0.3, 0.42)
PICTURE_PX = 400
PICTURE_ZOOM = 3


def inside(catalog: CraterCatalog, moon_map: LunarMap) -> NDArray[np.bool_]:
    """Which craters lie on a map, well off its edge."""
    b = moon_map.bounds
    latitude, longitude = np.degrees(catalog.latitude), np.degrees(catalog.longitude)
    margin_lon = MARGIN_DEG / np.cos(catalog.latitude)
    keep = (latitude > b.latitude_min_deg + MARGIN_DEG) & (
        latitude < b.latitude_max_deg - MARGIN_DEG
    )
    keep &= longitude > b.longitude_west_deg + margin_lon
    return np.asarray(keep & (longitude < b.longitude_east_deg - margin_lon))


def by_size(moon_map: LunarMap, found: MapCraters, listed: CraterCatalog) -> list[Any]:
    """Recall, precision and errors for each range of diameters."""
    on_map = inside(listed, moon_map)
    depth = depths_m(moon_map, listed)
    at = match_craters(found.catalog, listed)
    moved = replace(listed, latitude=listed.latitude + np.radians(CHANCE_DEG))
    by_chance = match_craters(found.catalog, moved) >= 0
    seen = np.zeros(len(listed), dtype=bool)
    seen[at[at >= 0]] = True
    rows = []
    for low, high in pairwise(SIZES_M):
        wanted = on_map & (listed.diameter_m >= low) & (listed.diameter_m < high)
        given = (found.catalog.diameter_m >= low) & (found.catalog.diameter_m < high)
        of_size = (at >= 0) & wanted[at]
        east, north, ratio = errors(found.catalog.chosen(of_size), listed.chosen(at[of_size]))
        rows.append(
            {
                "map": moon_map.name,
                "diameter km": f"{low / 1000:g}-{high / 1000:g}",
                "listed": int(wanted.sum()),
                "depth in map m": median(depth[wanted]),
                "recall": share(seen[wanted]),
                "found": int(given.sum()),
                "precision": share(at[given] >= 0),
                "by chance": share(by_chance[given]),
                "centre m": median(np.hypot(east, north)),
                "east m": median(east),
                "north m": median(north),
                "diameter ratio": median(ratio),
                "spread of it": median(np.abs(ratio - median(ratio))),
            }
        )
    return rows


def depths_m(moon_map: LunarMap, catalog: CraterCatalog) -> NDArray[np.float64]:
    """How deep each crater is in the map: mean height along its rim less that at its centre."""
    turn = np.linspace(0.0, 2.0 * np.pi, 36, endpoint=False)
    reach = 0.5 * catalog.diameter_m[:, None] / REFERENCE_RADIUS_M
    latitude = catalog.latitude[:, None] + reach * np.sin(turn)
    longitude = catalog.longitude[:, None] + reach * np.cos(turn) / np.cos(latitude)
    rim = moon_map.resample(latitude, longitude, 1.0).mean(axis=1)
    return np.asarray(rim - moon_map.resample(catalog.latitude, catalog.longitude, 1.0))


def errors(found: CraterCatalog, listed: CraterCatalog) -> tuple[Any, Any, Any]:
    """East and north offsets (metres) and ratios of diameters."""
    east = (found.longitude - listed.longitude) * np.cos(listed.latitude) * REFERENCE_RADIUS_M
    north = (found.latitude - listed.latitude) * REFERENCE_RADIUS_M
    return east, north, found.diameter_m / listed.diameter_m


def share(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def median(values: Any) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def by_score(found: dict[str, MapCraters], listed: dict[str, CraterCatalog]) -> list[Any]:
    """How many candidates of each repeatability the catalogue has, all maps together."""
    score = np.concatenate([f.repeatability for f in found.values()])
    true = np.concatenate([match_craters(f.catalog, listed[n]) >= 0 for n, f in found.items()])
    rows = []
    for low, high in pairwise(SCORES):
        within = (score >= low) & (score < high)
        label = f"{low:g}-{min(high, 1.0):g}"
        rows.append(
            {"repeatability": label, "candidates": int(within.sum()), "listed": share(true[within])}
        )
    return rows


def picture(path: Path, moon_map: LunarMap, found: MapCraters, listed: CraterCatalog) -> None:
    """A shaded part of a map: listed craters yellow, found ones green, or red where unlisted."""
    b = moon_map.bounds
    middle = 0.5 * (b.latitude_min_deg + b.latitude_max_deg)
    west = 0.5 * (b.longitude_west_deg + b.longitude_east_deg)
    pixel = np.degrees(moon_map.resolution_m / REFERENCE_RADIUS_M)
    across = pixel / np.cos(np.radians(middle))
    fine = np.arange(PICTURE_PX * PICTURE_ZOOM) / PICTURE_ZOOM
    latitude, longitude = middle - fine[:, None] * pixel, west + fine[None, :] * across
    heights = moon_map.resample(np.radians(latitude), np.radians(longitude), 1.0)
    down, right = np.gradient(heights, moon_map.resolution_m / PICTURE_ZOOM)
    sun = np.array(PICTURE_SUN) / np.linalg.norm(PICTURE_SUN)
    light = (-right * sun[0] + down * sun[1] + sun[2]) / np.sqrt(1.0 + right**2 + down**2)
    image = np.repeat(np.clip(light * 255.0, 0.0, 255.0).astype(np.uint8)[:, :, None], 3, axis=2)
    matched = match_craters(found.catalog, listed) >= 0
    colours = [(0, 220, 0) if m else (0, 0, 255) for m in matched]
    for catalog, marks in ((listed, [(0, 255, 255)] * len(listed)), (found.catalog, colours)):
        x = (np.degrees(catalog.longitude) - west) / across * PICTURE_ZOOM
        y = (middle - np.degrees(catalog.latitude)) / pixel * PICTURE_ZOOM
        scale = PICTURE_ZOOM / moon_map.resolution_m
        for k in np.flatnonzero((x > 0) & (y > 0) & (x < fine.size) & (y < fine.size)):
            axes = (catalog.major_m[k] * scale, catalog.minor_m[k] * scale)
            turn = -float(np.degrees(catalog.angle[k]))
            cv2.ellipse(image, ((float(x[k]), float(y[k])), axes, turn), marks[k], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def main() -> None:
    """Find craters of 1 to 3 km on each map, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="default TRN_DATA or ../shared/data")
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    parser.add_argument("--pictures", type=Path, help="folder for pictures")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data = given.data or data_folder()
    everything: dict[str, MapCraters] = {}
    catalogs: dict[str, CraterCatalog] = {}
    sizes: list[Any] = []
    speed: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.maps:
            product = data / "maps" / f"{name}_256ppd.tif"
            moon_map = build_map([product], Path(folder) / f"{name}.map")
            listed = read_catalog(data / "catalogs" / f"{name}_craters_1km.csv").catalog
            started = time.perf_counter()
            found = find_map_craters(moon_map, most_m=SIZES_M[-1], least_repeatability=0.0)
            seconds = time.perf_counter() - started
            catalogs[name] = listed
            keep = inside(found.catalog, moon_map) & (found.catalog.diameter_m >= LEAST_MATCHED_M)
            everything[name] = found.chosen(keep)
            sure = keep & (found.repeatability >= LEAST_REPEATABILITY)
            kept = found.chosen(sure)
            sizes += by_size(moon_map, kept, listed)
            speed.append({"map": name, "candidates": len(found), "kept": len(kept), "s": seconds})
            if given.pictures is not None:
                picture(given.pictures / f"craters_{name}.png", moon_map, kept, listed)
    show(f"Craters found, repeatability {LEAST_REPEATABILITY:g} and more", sizes)
    scores = by_score(everything, catalogs)
    show("Share of candidates that the catalogue lists, by repeatability", scores)
    show("Time", speed)
    save(given.json, {"sizes": sizes, "scores": scores, "time": speed})


if __name__ == "__main__":
    main()
