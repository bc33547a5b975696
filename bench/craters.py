"""How well craters are detected: in photographs, on renderings, and how fast.

    python -m bench.craters nac [--detector kernel|network]
    python -m bench.craters apollo [--detector kernel|network]
    python -m bench.craters rendered --scenes FOLDER [--detector kernel|network] [--smallest-px 4]
    python -m bench.craters curves --scenes FOLDER [--out PICTURE]
    python -m bench.craters speed
    python -m bench.craters fit --scenes FOLDER

`nac`: 12 LROC NAC images whose craters were boxed by hand (shared/data/nac_craters). `apollo`:
three Apollo 15 frames over the catalogue of craters of 5 km and more. Both are for judging only,
nothing is tuned on them. `rendered`: FOLDER/*.npz with image, ellipses, ignored (N, 5) and sun_px;
with --smallest-px below 8 the images are shrunk as well. `curves` draws precision over recall by
size class, on both. `fit` prints the weights of trn.detect.confidence from such renderings, other
ones.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import minimize

from bench.curves import curves
from bench.detectors import Image, detector_of, figures, scene_files
from bench.photographs import LEAST_KEPT, apollo, nac
from bench.tables import save, show
from trn.backend import select_backend
from trn.detect import Ellipses, detect_craters
from trn.detect.ellipses import diameters
from trn.detect.filter import SMALLEST_PX, find_rims
from trn.detect.score import (
    LEAST_OVERLAP,
    Matches,
    at_score,
    challenge_score,
    f1,
    match,
    precision_recall,
)
from trn.detect.suppress import boxes, overlap

RENDERED_SIZES_PX = (12.0, 150.0)
GOALS = {"centre": 0.03, "diameter": 0.08, "recall": 0.85}
GOAL_PRECISION = 0.85
GOALS_MS = {"kernel": 120.0, "network fp32": 150.0, "network int8": 150.0}


def rendered(arguments: argparse.Namespace) -> dict[str, Any]:
    """Precision, recall and errors of the ellipses on renderings."""
    detector, detect, least_score = detector_of(arguments)
    parts, challenge = [], []
    share = min(1.0, arguments.smallest_px / SMALLEST_PX)
    sizes = share * RENDERED_SIZES_PX[0], share * RENDERED_SIZES_PX[1]
    for path in scene_files(arguments.scenes):
        with np.load(path) as scene:
            labels, ignored = (_shrunk(scene[which], share) for which in ("ellipses", "ignored"))
            image = scene["image"]
            if share < 1.0:
                image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            found = detect(image, LEAST_KEPT, arguments.smallest_px)
            parts.append(match(found, labels, ignored, sizes))
            sure = found.chosen(found.score >= least_score)
            challenge.append(challenge_score(sure, labels))
    joined = Matches.joined(parts)
    score, precision, recall = precision_recall(joined)
    best = int(np.argmax(f1(precision, recall)))
    enough = precision >= GOAL_PRECISION
    asked = int(np.flatnonzero(enough)[-1]) if enough.any() else 0
    rows = [
        {"least score": float(score[k]), "at": at, **figures((precision[k], recall[k]))}
        for k, at in ((best, "best F1"), (asked, f"precision {GOAL_PRECISION}"))
    ]
    rows.append(
        {"least score": least_score, "at": "default", **figures(at_score(joined, least_score))}
    )
    show(
        f"Renderings, {detector}: {joined.labels} craters of {sizes[0]:g} to {sizes[1]:g} px in "
        f"{len(parts)} images (goal: recall {GOALS['recall']} at precision {GOAL_PRECISION})",
        rows,
    )
    sure = joined.score[joined.right] >= least_score
    errors = _errors(joined, sure, share)
    show("Errors of right finds at the default (goals: centre 0.03, diameter 0.08)", errors)
    print(f"\nNASA's challenge metric: {100.0 * np.mean(challenge):.1f} of 100")
    return {"rows": rows, "errors": errors, "nasa": 100.0 * float(np.mean(challenge))}


def _shrunk(ellipses: Image, share: float) -> Image:
    """Ellipses (N, 5) of an image, in pixels of the image a share as large."""
    smaller = ellipses.copy()
    smaller[:, :2] = share * (smaller[:, :2] + 0.5) - 0.5
    smaller[:, 2:4] *= share
    return smaller


def _errors(matches: Matches, sure: Image, share: float) -> list[dict[str, Any]]:
    """Errors as shares of the diameter, and of the centre in its covariance, by size."""
    truth, found = matches.truth[sure], matches.found[sure]
    spread = matches.covariance[sure][:, :2, :2]
    size = diameters(truth)
    off = found[:, :2] - truth[:, :2]
    centre = np.hypot(*off.T) / size
    growth = diameters(found) / size - 1.0
    nees = np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread), off)
    rows = []
    for low, high in share * np.array([(12, 150), (12, 16), (16, 32), (32, 64), (64, 150)]):
        of = (size >= low) & (size < high)
        if of.any():
            rows.append(
                {
                    "size px": f"{low:g}-{high:g}", "finds": int(of.sum()),
                    "centre median": float(np.median(centre[of])),
                    "centre p90": float(np.percentile(centre[of], 90)),
                    "diameter median": float(np.median(np.abs(growth[of]))),
                    "diameter bias": float(np.median(growth[of])),
                    "NEES median (1.39)": float(np.median(nees[of])),
                    "NEES mean (2)": float(np.mean(nees[of])),
                }
            )  # fmt: skip
    return rows


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Median time for 1024 x 1024 pixels, beside Laplacian-of-Gaussian blobs and Hough circles."""
    image = made_ground(1024)
    ways: dict[str, Callable[[], Any]] = {"kernel": lambda: detect_craters(image)}
    for precision in ("fp32", "int8"):
        asked = argparse.Namespace(detector="network", precision=precision)
        name, network, least = detector_of(asked)
        ways[name] = partial(network, image, least)
    try:
        from skimage.feature import blob_log

        ways["skimage blob_log"] = lambda: blob_log(
            image, min_sigma=3, max_sigma=60, num_sigma=10, threshold=0.05
        )
    except ImportError:
        print("scikit-image: not here")
    ways["cv2.HoughCircles"] = lambda: cv2.HoughCircles(
        image, cv2.HOUGH_GRADIENT_ALT, 1.5, 6, param1=100, param2=0.6, minRadius=4, maxRadius=170
    )
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        way()
        repeats = arguments.repeats if name in GOALS_MS else 3
        for _ in range(repeats):
            start = time.perf_counter()
            way()
            taken[name].append(1000.0 * (time.perf_counter() - start))
    own = float(np.median(taken["kernel"]))
    rows = [
        {"detector": name, "median ms": float(np.median(each)), "least ms": min(each),
         "times the kernel's": float(np.median(each)) / own, "goal ms": GOALS_MS.get(name, "")}
        for name, each in taken.items()
    ]  # fmt: skip
    show("1024 x 1024 pixels", rows)
    return {"rows": rows}


def made_ground(side_px: int, seed: int = 0) -> Image:
    """A picture of bowls of all sizes under one Sun, uint8 (side, side): for timing only."""
    rng = np.random.default_rng(seed)
    height = np.zeros((side_px, side_px), dtype=np.float64)
    y, x = np.mgrid[:side_px, :side_px]
    for _ in range(side_px * side_px // 1500):
        radius = 4.0 * rng.uniform(0.001, 1.0) ** -0.4
        u, v = rng.uniform(0, side_px, 2)
        reach = int(2.0 * radius) + 2
        part = np.s_[
            max(int(v) - reach, 0) : int(v) + reach + 1, max(int(u) - reach, 0) : int(u) + reach + 1
        ]
        rho = np.hypot(x[part] - u, y[part] - v) / radius
        bowl = np.where(rho < 1.0, 0.4 * (rho**2 - 0.8), 0.08 * rho**-3.0)
        height[part] += radius * np.where(rho < 2.0, bowl, 0.0)
    shade = 120.0 + 100.0 * np.gradient(height, axis=1) + 4.0 * rng.normal(size=height.shape)
    return np.clip(shade, 0, 255).astype(np.uint8)


def fit(arguments: argparse.Namespace) -> dict[str, Any]:
    """Weights of the confidence: logistic regression on rims of renderings, each lit as it is."""
    features, right = [], []
    for path in scene_files(arguments.scenes)[:: arguments.every]:
        with np.load(path) as scene:
            sun_px = float(scene["sun_px"])
            rims = find_rims(scene["image"], sun_px, SMALLEST_PX, None, select_backend("auto"))
            around = boxes(Ellipses.of(rims.values).values)
            hit = overlap(around, boxes(scene["ellipses"])).max(axis=1, initial=0.0)
            excused = overlap(around, boxes(scene["ignored"])).max(axis=1, initial=0.0)
        telling = (hit >= LEAST_OVERLAP) | (excused < 0.4)
        features.append(rims.features[telling])
        right.append(hit[telling] >= LEAST_OVERLAP)
    X, y = np.concatenate(features), np.concatenate(right).astype(np.float64)
    mean, deviation = X.mean(axis=0), X.std(axis=0) + 1e-9
    Z = np.column_stack([(X - mean) / deviation, np.ones(len(X))])

    def loss(weights: Image) -> tuple[float, Image]:
        value = Z @ weights
        chance = 1.0 / (1.0 + np.exp(-value))
        held = np.append(weights[:-1], 0.0)
        return (
            float(np.mean(np.logaddexp(0.0, value) - y * value) + 5e-6 * held @ held),
            Z.T @ (chance - y) / len(y) + 1e-5 * held,
        )

    solved = minimize(loss, np.zeros(Z.shape[1]), jac=True, method="L-BFGS-B")
    weights = solved.x[:-1] / deviation
    offset = float(solved.x[-1] - weights @ mean)
    print(f"{len(y)} rims, {np.mean(y):.3f} right, loss {solved.fun:.4f}")
    for row in itertools.chain(np.split(weights[:28], 4), [weights[28:]]):
        print(", ".join(f"{value:.3g}" for value in row) + ",")
    print(f"OFFSET = {offset:.4g}")
    return {"weights": weights.tolist(), "offset": offset}


def main(words: list[str] | None = None) -> None:
    """Measure as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    works = {"nac": nac, "apollo": apollo, "rendered": rendered, "curves": curves,
             "speed": speed, "fit": fit}  # fmt: skip
    for name, work in works.items():
        command = commands.add_parser(name, help=str(work.__doc__))
        command.add_argument("--json", type=Path, help="also write the results there")
        command.set_defaults(work=work)
        if name in ("nac", "apollo", "rendered"):
            command.add_argument("--detector", choices=("kernel", "network"), default="kernel")
        if name in ("nac", "apollo", "rendered", "curves"):
            command.add_argument("--precision", choices=("fp32", "int8"), default="fp32",
                                 help="of the network")  # fmt: skip
        if name in ("rendered", "curves", "fit"):
            command.add_argument("--scenes", type=Path, required=True)
    commands.choices["rendered"].add_argument("--smallest-px", type=float, default=SMALLEST_PX)
    commands.choices["curves"].add_argument("--out", type=Path, default=Path("crater_curves.png"))
    commands.choices["speed"].add_argument("--repeats", type=int, default=15)
    commands.choices["fit"].add_argument("--every", type=int, default=5, help="scenes skipped over")
    arguments = parser.parse_args(words)
    save(arguments.json, arguments.work(arguments))


if __name__ == "__main__":
    main()
