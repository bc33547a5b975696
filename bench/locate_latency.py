"""How long one fix takes, and the same matching work done with other tools in the same run.

    python -m bench.locate_latency --cache SCENES [--json FILE]

The frame is 1024 x 1024. Times are medians after the first call, on a localizer that keeps its
terrain. The comparison repeats one fine stage's searches with skimage.feature.match_template and
with cv2.matchTemplate one by one, and prints ratios to our batched call.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.feature import match_template

from bench.accuracy import MAPS, scene_prior
from bench.scenes import estimator_map, rendered_scene
from bench.tables import data_folder, save, show
from trn.backend.cpu import CpuBackend
from trn.backend.protocol import Searches
from trn.localizer import Localizer
from trn.maps import LunarMap

RUNS = 9


def timed_ms(work: Callable[[], Any], runs: int = RUNS) -> float:
    """Median time of some work, in milliseconds, after one call."""
    work()
    spent = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        spent.append(1e3 * (time.perf_counter() - start))
    return float(np.median(spent))


def whole_fix(cache: Path) -> list[dict[str, Any]]:
    """Latency of `locate` on one scene a map, with the share of every stage."""
    data = data_folder()
    rows = []
    for name in MAPS:
        source = data / f"maps/{name}_256ppd.tif"
        moon_map = LunarMap.open(estimator_map(source, cache / "maps"))
        scene = rendered_scene(source, 2, cache_dir=cache)
        localizer = Localizer(moon_map, scene.camera, "cpu")
        near = scene_prior(scene)
        lost = replace(near, position_sigma_m=5000.0)
        median = timed_ms(lambda run=localizer, p=near, i=scene.image: run.locate(i, p))
        fix = localizer.locate(scene.image, near)
        fresh = Localizer(moon_map, scene.camera, "cpu").locate(scene.image, near)
        far = timed_ms(lambda run=localizer, p=lost, i=scene.image: run.locate(i, p), 3)
        rows.append(
            {
                "map": name,
                "altitude km": scene.altitude_m / 1e3,
                "median ms": median,
                "new terrain ms": fresh.latency_ms["total"],
                "5 km prior ms": far,
                **{stage: ms for stage, ms in fix.latency_ms.items() if stage != "total"},
            }
        )
    # A frame that is refused has no stages after its refusal.
    stages = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "") for name in stages} for row in rows]


def matching() -> list[dict[str, Any]]:
    """One batch of searches three ways: 200 templates of 41 x 41 in windows of 81 x 81."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.normal(size=(512, 512)).astype(np.float32), (0, 0), 1.5)
    count, size, reach = 200, 41, 20
    x, y = (rng.integers(reach, 512 - size - reach, count).astype(np.int32) for _ in range(2))
    placements = np.full(count, 2 * reach + 1, dtype=np.int32)
    searches = Searches(size, x, y, x - reach, y - reach, placements, placements)
    backend = CpuBackend()

    def one_by_one(match: Callable[[Any, Any], Any]) -> None:
        for k in range(count):
            window = image[y[k] - reach : y[k] + size + reach, x[k] - reach : x[k] + size + reach]
            match(window, image[y[k] : y[k] + size, x[k] : x[k] + size])

    ours = timed_ms(lambda: backend.correlate(image, image, searches), 5)
    opencv = timed_ms(
        lambda: one_by_one(lambda w, t: cv2.matchTemplate(w, t, cv2.TM_CCOEFF_NORMED)), 5
    )
    scikit = timed_ms(lambda: one_by_one(match_template), 3)
    return [
        {"matcher": "trn batched, with peaks", "ms": ours, "ratio to trn": 1.0},
        {"matcher": "cv2.matchTemplate one by one", "ms": opencv, "ratio to trn": opencv / ours},
        {"matcher": "skimage match_template", "ms": scikit, "ratio to trn": scikit / ours},
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    fixes = whole_fix(given.cache)
    show("One fix, 1024 x 1024, 1.5 km prior", fixes)
    matchers = matching()
    show("The same searches, three ways", matchers)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory {peak_mib:.0f} MiB")
    save(given.json, {"fixes": fixes, "matchers": matchers, "peak_mib": peak_mib})


if __name__ == "__main__":
    main()
