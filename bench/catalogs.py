"""Crater catalogues: how fast a large one is read, and from how many craters other units are told.

Example: python -m bench.catalogs --json catalogs.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.tables import data_folder, save, show
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog
from trn.maps.catalog_units import implausible_units

NAMES = ("atlas_craters_1km", "crisium_craters_1km", "frigoris_craters_1km",
         "hadley_craters_1km", "tycho_craters_1km", "lunar_craters_5km")  # fmt: skip
COUNTS = (3, 10, 20, 50, 100, 200, 500)
TRIALS = 50
ROWS = 1_300_000
HEADER = (
    "CRATER_ID,LAT_CIRC_IMG,LON_CIRC_IMG,LAT_ELLI_IMG,LON_ELLI_IMG,DIAM_CIRC_IMG,DIAM_CIRC_SD_IMG,"
    "DIAM_ELLI_MAJOR_IMG,DIAM_ELLI_MINOR_IMG,DIAM_ELLI_ECCEN_IMG,DIAM_ELLI_ELLIP_IMG,"
    "DIAM_ELLI_ANGLE_IMG,LAT_ELLI_SD_IMG,LON_ELLI_SD_IMG,DIAM_ELLI_MAJOR_SD_IMG,"
    "DIAM_ELLI_MINOR_SD_IMG,DIAM_ELLI_ANGLE_SD_IMG,DIAM_ELLI_ECCEN_SD_IMG,DIAM_ELLI_ELLIP_SD_IMG,"
    "ARC_IMG,PTS_RIM_IMG\n"
)
"""Robbins (2018), whose file has as many rows."""


def reading(folder: Path, rows: int) -> dict[str, Any]:
    """Time to read a file of the form and size of Robbins (2018), made by chance."""
    rng = np.random.default_rng(0)
    latitude = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, rows)))
    longitude = rng.uniform(0.0, 360.0, rows)
    diameter = 1.0 / np.sqrt(1.0 - rng.uniform(0.0, 0.999999, rows))
    path = folder / "robbins.csv"
    with path.open("w") as stream:
        stream.write(HEADER)
        for k, (a, b, d) in enumerate(zip(latitude, longitude, diameter)):
            stream.write(
                f"00-1-{k:06d},{a:.6f},{b:.6f},{a:.6f},{b:.6f},{d:.5f},0.0213179,{1.05 * d:.5f},"
                f"{0.95 * d:.5f},0.371666,1.07716,35.9919" + ",0.00788792" * 7 + ",0.568712,88\n"
            )
    started = time.perf_counter()
    found = read_catalog(path)
    seconds = time.perf_counter() - started
    return {"rows": len(found.catalog), "MB": path.stat().st_size / 1e6, "s": seconds}


def units(name: str, catalog: CraterCatalog) -> list[dict[str, Any]]:
    """Shares of random parts of a catalogue that are refused as they are, and in other units."""
    latitude, longitude = np.degrees(catalog.latitude), np.degrees(catalog.longitude)
    diameter = catalog.diameter_m / 1000.0
    rng = np.random.default_rng(1)
    rows = []
    for count in (*COUNTS, len(catalog)):
        refused = np.zeros(3)
        for _ in range(TRIALS if count < len(catalog) else 1):
            k = rng.choice(len(catalog), count, replace=False)
            a, b, d = latitude[k], longitude[k], diameter[k]
            cases = ((a, b, d), (np.radians(a), np.radians(b), d), (a, b, 1000.0 * d))
            refused += [implausible_units(*case) is not None for case in cases]
        refused /= TRIALS if count < len(catalog) else 1
        row = {"catalogue": name, "craters": count}
        rows.append(row | dict(zip(("as it is", "radians", "metres"), refused.tolist())))
    return rows


def main() -> None:
    """Time the reading; try units on parts of the real catalogues."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="default TRN_DATA or ../shared/data")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data = given.data or data_folder()
    with tempfile.TemporaryDirectory() as folder:
        speed = reading(Path(folder), given.rows)
    show("Reading Robbins (2018)", [speed])
    judged: list[dict[str, Any]] = []
    for name in NAMES:
        judged += units(name, read_catalog(data / "catalogs" / f"{name}.csv").catalog)
    show("Share refused, by units", judged)
    save(given.json, {"reading": speed, "units": judged})


if __name__ == "__main__":
    main()
