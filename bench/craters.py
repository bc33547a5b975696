"""How well craters are detected: on NAC images, on renderings, and how fast.

    python -m bench.craters nac [--detector kernel|network]
    python -m bench.craters rendered --scenes FOLDER [--detector kernel|network]
    python -m bench.craters speed
    python -m bench.craters fit --scenes FOLDER

`nac`: 12 LROC NAC images whose craters were boxed by hand (shared/data/nac_craters); for judging
only, nothing is tuned on them. `rendered`: FOLDER/*.npz with image, ellipses, ignored (N, 5) and
sun_px. `fit` prints the weights of trn.detect.confidence from such renderings, other ones.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import minimize

from bench.tables import data_folder, save, show
from trn.backend import select_backend
from trn.detect import Ellipses, detect_craters
from trn.detect.ellipses import diameters
from trn.detect.filter import LEAST_SCORE, SMALLEST_PX, find_rims
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

CLASSES_PX = ((8, 16), (16, 32), (32, 64), (64, 4096))
NAC_SIZES_PX = (8.0, 4096.0)
RENDERED_SIZES_PX = (12.0, 150.0)
LEAST_KEPT = 0.05
GOALS = {"nac kernel": 0.5, "nac best": 0.7, "centre": 0.03, "diameter": 0.08, "recall": 0.85}
GOAL_PRECISION = 0.85
GOALS_MS = {"kernel": 120.0, "network fp32": 150.0, "network int8": 150.0}

Image = np.ndarray[Any, Any]


def detector_of(
    arguments: argparse.Namespace,
) -> tuple[str, Callable[[Image, float], Ellipses], float]:
    """What is asked for: its name, a detector of (image, least score), its default score."""
    if arguments.detector == "kernel":
        return "kernel", lambda image, least: detect_craters(image, least_score=least), LEAST_SCORE
    # Only here: the kernel needs neither the network's file nor what runs it.
    from trn.detect import network

    precision = arguments.precision
    return (
        f"network {precision}",
        lambda image, least: network.detect_craters_network(
            image, least_score=least, precision=precision
        ),
        network.LEAST_SCORE,
    )


def nac_images(folder: Path) -> Iterator[tuple[str, Image, Image]]:
    """Name, image and labels (N, 5) of each NAME.png with NAME.txt: ID, X, Y, W, H, C_X, C_Y.

    X, Y is the first pixel in the box, so that its outer edge lies half a pixel before. Boxes
    whose middle is outside the image are left out.
    """
    for path in sorted(folder.glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        rows = np.genfromtxt(path.with_suffix(".txt"), delimiter=",", skip_header=1)[:, 1:5]
        half = 0.5 * rows[:, 2:]
        middle = rows[:, :2] - 0.5 + half
        inside = ((middle > -0.5) & (middle < np.array(image.shape[::-1]) - 0.5)).all(axis=1)
        labels = np.column_stack([middle, half, np.zeros(len(rows))])[inside]
        yield path.stem.split("_")[0], image, Ellipses.of(labels).values


def nac(arguments: argparse.Namespace) -> dict[str, Any]:
    """F1 by boxes at IoU 0.5, by size and image, and NASA's metric."""
    detector, detect, least_score = detector_of(arguments)
    parts, challenge, images = [], [], []
    by_class: list[list[Matches]] = [[] for _ in CLASSES_PX]
    for name, image, labels in nac_images(data_folder() / "nac_craters"):
        found = detect(image, LEAST_KEPT)
        parts.append(match(found, labels, None, NAC_SIZES_PX))
        for k, sizes in enumerate(CLASSES_PX):
            # Half open: boxes have whole sides, and many are just 16 px.
            by_class[k].append(match(found, labels, None, (sizes[0], np.nextafter(sizes[1], 0.0))))
        sure = found.chosen(found.score >= least_score)
        challenge.append(challenge_score(sure, labels[diameters(labels) >= NAC_SIZES_PX[0]]))
        own = at_score(parts[-1], least_score)
        images.append({"image": name, "labels": parts[-1].labels, **_figures(own)})
    joined = Matches.joined(parts)
    score, precision, recall = precision_recall(joined)
    best = int(np.argmax(f1(precision, recall)))
    rows = [
        {
            "least score": float(score[best]),
            "at": "best",
            **_figures((precision[best], recall[best])),
        },
        {"least score": least_score, "at": "default", **_figures(at_score(joined, least_score))},
    ]
    show(f"NAC images, {detector}: {joined.labels} craters of 8 px and more", rows)
    classes = []
    for sizes, matches in zip(CLASSES_PX, by_class):
        merged = Matches.joined(matches)
        classes.append(
            {"size px": f"{sizes[0]}-{sizes[1]}", "labels": merged.labels,
             **_figures(at_score(merged, least_score))}
        )  # fmt: skip
    show("By size, at the default", classes)
    show("By image, at the default", images)
    nasa = 100.0 * float(np.mean(challenge))
    print(f"\nNASA's challenge metric against the boxes as ellipses: {nasa:.1f} of 100")
    print(f"goals: F1 {GOALS['nac kernel']} kernel, {GOALS['nac best']} the better detector")
    return {"best": rows[0], "default": rows[1], "classes": classes, "images": images, "nasa": nasa}


def rendered(arguments: argparse.Namespace) -> dict[str, Any]:
    """Precision, recall and errors of the ellipses on renderings."""
    detector, detect, least_score = detector_of(arguments)
    parts, challenge = [], []
    for path in _scenes(arguments.scenes):
        with np.load(path) as scene:
            found = detect(scene["image"], LEAST_KEPT)
            parts.append(match(found, scene["ellipses"], scene["ignored"], RENDERED_SIZES_PX))
            sure = found.chosen(found.score >= least_score)
            challenge.append(challenge_score(sure, scene["ellipses"]))
    joined = Matches.joined(parts)
    score, precision, recall = precision_recall(joined)
    best = int(np.argmax(f1(precision, recall)))
    enough = precision >= GOAL_PRECISION
    asked = int(np.flatnonzero(enough)[-1]) if enough.any() else 0
    rows = [
        {"least score": float(score[k]), "at": at, **_figures((precision[k], recall[k]))}
        for k, at in ((best, "best F1"), (asked, f"precision {GOAL_PRECISION}"))
    ]
    rows.append(
        {"least score": least_score, "at": "default", **_figures(at_score(joined, least_score))}
    )
    show(
        f"Renderings, {detector}: {joined.labels} craters of 12 to 150 px in "
        f"{len(parts)} images (goal: recall {GOALS['recall']} at precision {GOAL_PRECISION})",
        rows,
    )
    sure = joined.score[joined.right] >= least_score
    errors = _errors(joined, sure)
    show("Errors of right finds at the default (goals: centre 0.03, diameter 0.08)", errors)
    print(f"\nNASA's challenge metric: {100.0 * np.mean(challenge):.1f} of 100")
    return {"rows": rows, "errors": errors, "nasa": 100.0 * float(np.mean(challenge))}


def _errors(matches: Matches, sure: Image) -> list[dict[str, Any]]:
    """Errors as shares of the diameter, and of the centre in its covariance, by size."""
    truth, found = matches.truth[sure], matches.found[sure]
    spread = matches.covariance[sure][:, :2, :2]
    size = diameters(truth)
    off = found[:, :2] - truth[:, :2]
    centre = np.hypot(*off.T) / size
    growth = diameters(found) / size - 1.0
    nees = np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread), off)
    rows = []
    for low, high in ((12, 150), (12, 16), (16, 32), (32, 64), (64, 150)):
        of = (size >= low) & (size < high)
        if of.any():
            rows.append(
                {
                    "size px": f"{low}-{high}", "finds": int(of.sum()),
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
    for path in _scenes(arguments.scenes)[:: arguments.every]:
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


def _scenes(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.npz"))
    if not found:
        raise SystemExit(f"{folder}: no renderings (*.npz) there")
    return found


def _figures(rates: tuple[float, float]) -> dict[str, float]:
    precision, recall = (float(rate) for rate in rates)
    return {"precision": precision, "recall": recall, "F1": float(f1(precision, recall))}


def main(words: list[str] | None = None) -> None:
    """Measure as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("nac", nac), ("rendered", rendered), ("speed", speed), ("fit", fit)):
        command = commands.add_parser(name, help=str(work.__doc__))
        command.add_argument("--json", type=Path, help="also write the results there")
        command.set_defaults(work=work)
        if name in ("nac", "rendered"):
            command.add_argument("--detector", choices=("kernel", "network"), default="kernel")
            command.add_argument("--precision", choices=("fp32", "int8"), default="fp32",
                                 help="of the network")  # fmt: skip
        if name in ("rendered", "fit"):
            command.add_argument("--scenes", type=Path, required=True)
    commands.choices["speed"].add_argument("--repeats", type=int, default=15)
    commands.choices["fit"].add_argument("--every", type=int, default=5, help="scenes skipped over")
    arguments = parser.parse_args(words)
    save(arguments.json, arguments.work(arguments))


if __name__ == "__main__":
    main()
