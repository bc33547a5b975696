"""Errors of image fixes in replayed descents: how large by altitude, and how long they last.

    trn simulate resilience --map frigoris.map --from 260 --to 412 --out DATASET
    trn replay DATASET --map frigoris.map --out RUN
    python -m bench.fix_errors DATASET RUN [DATASET RUN ...]

Prints what `bench.descents` draws its frames from and the navigation filter supposes: the stated 1
sigma by altitude and how the errors compare with it, and the correlation of normalised errors from
frame to frame over ground passed, in units of the altitude. Of frames without a fix, how far off
the displacements are that they show. Then, of each descent, how far off the altitude was before the
first valid range, where ranges came late, and at the end.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tables import save, show
from trn.moon.frames import east_north_up
from trn.navigation.filter import ALL_SHARE, VIEW_SHARE

Array = NDArray[np.float64]

DISPLACEMENT_ALTITUDES_M = (0.2e3, 0.5e3, 1e3, 2e3, 3e3, 5e3, 1e4, 2e5)
ALTITUDES_M = (3e3, 5e3, 6.5e3, 8e3, 10e3, 12.5e3, 16e3, 25e3, 200e3)
PASSED_ALTITUDES = (0.0, 0.08, 0.2, 0.4, 0.7, 1.0, 1.5)


def _truth_of(dataset: Path, name: str) -> Array:
    """The rows of a file of a dataset's truth."""
    path = dataset / f"state_groundtruth_estimate0/{name}.csv"
    return np.loadtxt(path, delimiter=",", comments="#")


@dataclass(frozen=True, eq=False)
class FixErrors:
    """Fixes of one descent, a row each, and the altitudes of frames that gave none.

    passed: ground passed since the first frame, each step in units of the altitude there. error_m,
    sigma_m: (N, 3), east, north, up. nees: a degree of freedom. refused_m: altitudes.
    """

    altitude_m: Array
    passed: Array
    error_m: Array
    sigma_m: Array
    nees: Array
    refused_m: Array

    @classmethod
    def of(cls, dataset: Path, run: Path) -> FixErrors:
        """Those of a replay of a dataset of `trn simulate`."""
        truth, ground = _truth_of(dataset, "data"), _truth_of(dataset, "altitude")
        since_s = 1e-9 * (truth[:, 0] - truth[0, 0])
        altitude_m = np.interp(truth[:, 0], ground[:, 0], ground[:, 1])
        speed = np.linalg.norm(truth[:, 8:11], axis=1)
        passed = np.concatenate([[0.0], np.cumsum(np.diff(since_s) * (speed / altitude_m)[1:])])
        rows: list[tuple[float, float, Array, Array, float]] = []
        refused: list[float] = []
        with (run / "fixes.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                at_s = 1e-9 * (int(row["time_ns"]) - truth[0, 0])
                over_m = float(np.interp(at_s, since_s, altitude_m))
                if row["status"] != "fix":
                    refused.append(over_m)
                    continue
                place = np.array([np.interp(at_s, since_s, truth[:, k]) for k in (1, 2, 3)])
                axes = east_north_up(place)
                error = axes @ (np.array([float(row[f"{k}_m"]) for k in "xyz"]) - place)
                names = (("xx", "xy", "xz"), ("xy", "yy", "yz"), ("xz", "yz", "zz"))
                covariance = np.array(
                    [[float(row[f"covariance_{n}_m2"]) for n in k] for k in names]
                )
                covariance = axes @ covariance @ axes.T
                nees = float(error @ np.linalg.solve(covariance, error)) / 3.0
                sigma = np.sqrt(np.diag(covariance))
                rows.append((over_m, float(np.interp(at_s, since_s, passed)), error, sigma, nees))
        columns = [np.array(column) for column in zip(*rows, strict=True)]
        return cls(*columns, np.array(refused))


def by_altitude(found: list[FixErrors]) -> list[dict[str, Any]]:
    """Stated and true errors in bands of altitude."""
    table = []
    for low, high in itertools.pairwise(ALTITUDES_M):
        inside = [(each.altitude_m >= low) & (each.altitude_m < high) for each in found]
        fixes = sum(int(chosen.sum()) for chosen in inside)
        refused = sum(
            int(((each.refused_m >= low) & (each.refused_m < high)).sum()) for each in found
        )
        if not fixes:
            continue
        sigma, error, nees = (
            np.concatenate([getattr(each, name)[chosen] for each, chosen in zip(found, inside)])
            for name in ("sigma_m", "error_m", "nees")
        )
        table.append(
            {
                "altitude km": f"{low / 1e3:g}-{high / 1e3:g}",
                "fixes": fixes,
                "refused": refused,
                "sigma east, north, up m": _three(np.median(sigma, axis=0)),
                "mean error m": _three(error.mean(axis=0)),
                "rms error m": _three(np.sqrt((error**2).mean(axis=0))),
                "NEES": float(nees.mean()),
            }
        )
    nees = np.concatenate([each.nees for each in found])
    error = np.concatenate([each.error_m for each in found])
    table.append(
        {
            "altitude km": "all",
            "fixes": len(nees),
            "refused": sum(len(each.refused_m) for each in found),
            "sigma east, north, up m": "",
            "mean error m": _three(error.mean(axis=0)),
            "rms error m": _three(np.sqrt((error**2).mean(axis=0))),
            "NEES": float(nees.mean()),
        }
    )
    return table


def _three(values: Array) -> str:
    return " ".join(f"{value:.0f}" for value in values)


def correlations(found: list[FixErrors]) -> list[dict[str, Any]]:
    """Correlation of normalised errors of two fixes by how much ground lies between them."""
    table = []
    for low, high in itertools.pairwise(PASSED_ALTITUDES):
        products, squares = 0.0, 0.0
        pairs = 0
        for each in found:
            z = each.error_m / each.sigma_m
            apart = each.passed[None, :] - each.passed[:, None]
            first, second = np.nonzero((apart > low) & (apart <= high))
            products += float((z[first] * z[second]).sum())
            squares += float((z[first] ** 2).sum() + (z[second] ** 2).sum()) / 2.0
            pairs += len(first)
        middle = 0.5 * (low + high)
        table.append(
            {
                "ground passed, altitudes": f"{low:g}-{high:g}",
                "pairs": pairs,
                "correlation": products / max(squares, 1e-9),
                "supposed": ALL_SHARE + VIEW_SHARE * float(np.exp(-middle)),
            }
        )
    return table


def displacements(pairs: list[tuple[Path, Path]]) -> list[dict[str, Any]]:
    """Errors of displacements in bands of altitude.

    Along the movement they are of its length, what the believed height was off taken out; across,
    of the altitude.
    """
    rows = []
    for dataset, run in pairs:
        truth, ground = _truth_of(dataset, "data"), _truth_of(dataset, "altitude")
        since_s = 1e-9 * (truth[:, 0] - truth[0, 0])
        with (run / "displacements.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                stamps = np.array([int(row["since_ns"]), int(row["time_ns"])])
                began, ended = np.stack(
                    [np.interp(1e-9 * (stamps - truth[0, 0]), since_s, truth[:, k])
                     for k in (1, 2, 3)], axis=-1,
                )  # fmt: skip
                over_m = float(np.interp(float(stamps[0]), ground[:, 0], ground[:, 1]))
                believed = np.array([float(row[f"from_{k}_m"]) for k in "xyz"])
                higher = float((believed - began) @ began) / float(np.linalg.norm(began)) / over_m
                error = np.array([float(row[f"{k}_m"]) for k in "xyz"]) - (ended - began)
                length = float(np.linalg.norm(ended - began))
                along = float(error @ (ended - began)) / length**2
                across = error - along * (ended - began)
                rows.append(
                    (over_m, along - higher, float(np.linalg.norm(across)) / over_m,
                     float(row["corners"]), float(row["used"]))
                )  # fmt: skip
    table = []
    found = np.array(rows).reshape(-1, 5)
    for low, high in itertools.pairwise(DISPLACEMENT_ALTITUDES_M):
        chosen = found[(found[:, 0] >= low) & (found[:, 0] < high)]
        if len(chosen):
            table.append(
                {
                    "altitude km": f"{low / 1e3:g}-{high / 1e3:g}",
                    "displacements": len(chosen),
                    "used": int(chosen[:, 4].sum()),
                    "corners, median": float(np.median(chosen[:, 3])),
                    "along, of the length: mean": f"{chosen[:, 1].mean():.5f}",
                    "rms": f"{np.sqrt((chosen[:, 1] ** 2).mean()):.5f}",
                    "across, of the altitude: rms": f"{np.sqrt((chosen[:, 2] ** 2).mean()):.6f}",
                }
            )
    return table


def altitudes(dataset: Path, run: Path) -> dict[str, Any]:
    """Error of the replay's altitude before the first valid range, and at the end."""
    ground = _truth_of(dataset, "altitude")
    with (run / "crosscheck.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["altitude_m"]]
    stamps = np.array([int(row["time_ns"]) for row in rows])
    true_m = np.interp(stamps, ground[:, 0], ground[:, 1])
    error_m = np.array([float(row["altitude_m"]) for row in rows]) - true_m
    first = next((k for k, row in enumerate(rows) if row["valid"] == "1"), 0)
    late = first > 0
    return {
        "dataset": dataset.name,
        "readings": len(rows),
        "before the first range: altitude m": float(true_m[first - 1]) if late else "",
        "error m": float(error_m[first - 1]) if late else "",
        "at the end: error m": float(error_m[-1]),
        "healthy readings turned away": sum(
            row["valid"] == "1" and row["used"] == "0" for row in rows
        ),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="DATASET RUN pairs")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if len(given.folders) % 2:
        parser.error("folders come in pairs: DATASET RUN")
    pairs = list(zip(given.folders[::2], given.folders[1::2], strict=True))
    found = [FixErrors.of(*pair) for pair in pairs]
    altitude, correlation = by_altitude(found), correlations(found)
    show("Errors of image fixes by altitude", altitude)
    show("Correlation of their normalised errors", correlation)
    flow = displacements(pairs)
    if flow:
        show("Displacements between frames of which the later gives no fix", flow)
    descents = [altitudes(*pair) for pair in pairs]
    show("Altitude of each descent", descents)
    save(
        given.json,
        {
            "altitude": altitude,
            "correlation": correlation,
            "displacements": flow,
            "descents": descents,
        },
    )


if __name__ == "__main__":
    main()
