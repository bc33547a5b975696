"""Does the cross-check blame the right party? Monte Carlo over descents without pictures.

    python -m bench.crosscheck hakuto --seeds 200
    python -m bench.crosscheck rim --seeds 1000
    python -m bench.crosscheck resilience --seeds 200
    python -m bench.crosscheck matrix --seeds 100 [--faults lrf-latency lrf-scale ...]
    python -m bench.crosscheck double --seeds 20
    python -m bench.crosscheck healthy --seeds 20
    python -m bench.crosscheck cost

Truth, sensors and faults are the simulator's over the real maps, image fixes are drawn
(`bench.descents` says how). Each finished descent is a line of --log, so that a run that was
stopped goes on; --workers N uses N processes. Tables go to standard output, --json FILE keeps them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.descents import Options, flown, scene
from bench.matrix import MATRIX, double, matrix
from bench.missions import hakuto, healthy, resilience, rim
from bench.tables import save, show

CACHE = Path("runs/bench")


def cost(cache: Path) -> dict[str, Any]:
    """Time a measurement of cross-check and filters, on one core."""
    at = scene("hakuto-r-m1", cache)
    options = Options(3500.0, 3600.0)
    # Once before: kernels are loaded and the map's tiles cut.
    flown(at, 0, (), options)
    run = flown(at, 1, (), options)
    each_ms = 1e3 * run.onboard_s / len(run.judged)
    table = [
        {"what": "inertial samples, aids, cross-check, altitude: a measurement, ms",
         "value": each_ms, "goal": 2.0}
    ]  # fmt: skip
    show("Cost on one core", table)
    return {"table": table}


def main() -> None:
    """Run one bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = ("hakuto", "rim", "resilience", "matrix", "double", "healthy", "cost")
    parser.add_argument("what", choices=what)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=CACHE, help="truth made once, and logs")
    names = [name for name, _, _, _ in MATRIX]
    parser.add_argument("--faults", nargs="+", choices=names, default=[], help="of the matrix")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what == "cost":
        results = cost(given.cache)
    elif given.what == "matrix":
        results = matrix(given.seeds, given.cache, given.workers, given.faults)
    else:
        run = {"hakuto": hakuto, "rim": rim, "resilience": resilience, "double": double,
               "healthy": healthy}[given.what]  # fmt: skip
        results = run(given.seeds, given.cache, given.workers)
    save(given.json, results)


if __name__ == "__main__":
    main()
