"""How the network does on labelled images: precision, recall, errors, and their spreads.

    python -m models.measure --scenes runs/crater-valid
    python -m models.measure --boxes ../shared/data/nac_craters --sizes 8 1000

prints one table: on our renderings, or on LROC NAC images whose craters were boxed by hand. A find
is right where its box and a label's overlap by half (IoU 0.5), surest first; finds that overlap
only an ignored crater, or lie outside the range of sizes, do not count.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trn.detect.ellipses import Ellipses
from trn.detect.network import LEAST_SCORE, detect_craters_network

Array = NDArray[np.float64]

SIZES_PX = (12.0, 150.0)
_LEAST_OVERLAP, _LEAST_IGNORED_OVERLAP = 0.5, 0.4
_LEAST_COUNTED = 0.05


@dataclass(frozen=True)
class Finds:
    """All finds of a set of scenes, and how many craters there were.

    score, right: (N,), of each find that counts. truth, found: (M, 5), x, y, a, b, theta of the
    right ones, in the order of score[right]; covariance: (M, 5, 5), theirs. labels: craters asked
    for.
    """

    score: Array
    right: NDArray[np.bool_]
    truth: Array
    found: Array
    covariance: Array
    labels: int


def boxes(ellipses: Array) -> Array:
    """Axis-aligned boxes x0, y0, x1, y1, (N, 4), of ellipses (N, 5)."""
    x, y, a, b, theta = ellipses.T
    half_w = np.hypot(a * np.cos(theta), b * np.sin(theta))
    half_h = np.hypot(a * np.sin(theta), b * np.cos(theta))
    return np.column_stack([x - half_w, y - half_h, x + half_w, y + half_h])


def overlaps(first: Array, second: Array) -> Array:
    """Intersection over union of boxes, (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    area = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (first, second)]
    return np.asarray(common / (area[0][:, None] + area[1][None] - common))


def matched(found: Ellipses, seen: Array, ignored: Array, sizes: tuple[float, float]) -> Finds:
    """The finds of one image against its labels, those of sizes out of range ignored."""
    diameter = 2.0 * np.sqrt(seen[:, 2] * seen[:, 3])
    asked = (diameter >= sizes[0]) & (diameter <= sizes[1])
    truth, left_out = seen[asked], np.concatenate([seen[~asked], ignored])
    own = 2.0 * np.sqrt(found.values[:, 2] * found.values[:, 3])
    overlap = overlaps(boxes(found.values), boxes(truth))
    excused = overlaps(boxes(found.values), boxes(left_out)).max(axis=1, initial=0.0)
    partner = np.full(len(found), -1)
    free = np.ones(len(truth), bool)
    for k in np.argsort(-found.score, kind="stable"):
        if not free.any():
            break
        best = int(np.argmax(np.where(free, overlap[k], -1.0)))
        if overlap[k, best] >= _LEAST_OVERLAP:
            partner[k], free[best] = best, False
    right = partner >= 0
    in_range = (own >= sizes[0]) & (own <= sizes[1])
    counted = right | (in_range & (excused < _LEAST_IGNORED_OVERLAP))
    assert found.covariance is not None
    return Finds(
        found.score[counted],
        right[counted],
        truth[partner[right]],
        found.values[right],
        found.covariance[right],
        len(truth),
    )


def scenes(folder: Path) -> Iterator[tuple[NDArray[np.uint8], Array, Array]]:
    """Image, ellipses to find and ellipses ignored of each rendering of a folder."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as scene:
            yield scene["image"], scene["ellipses"], scene["ignored"]


def boxed(folder: Path, enlarged: float = 1.0) -> Iterator[tuple[NDArray[np.uint8], Array, Array]]:
    """The same of images with boxes beside them: NAME.png, NAME.txt of ID,X,Y,W,H,C_X,C_Y.

    X, Y is the first pixel in the box, so that its outer edge lies half a pixel before. Boxes
    whose middle is outside the image are left out. Image and boxes may be enlarged.
    """
    for path in sorted(folder.glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        rows = np.genfromtxt(path.with_suffix(".txt"), delimiter=",", skip_header=1)[:, 1:5]
        half = 0.5 * rows[:, 2:]
        middle = rows[:, :2] - 0.5 + half
        inside = ((middle > -0.5) & (middle < np.array(image.shape[::-1]) - 0.5)).all(axis=1)
        round_ones = np.column_stack([middle, half, np.zeros(len(rows))])[inside]
        round_ones = Ellipses.of(round_ones).values
        if enlarged != 1.0:
            image = cv2.resize(image, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
            round_ones[:, :2] = (round_ones[:, :2] + 0.5) * enlarged - 0.5
            round_ones[:, 2:4] *= enlarged
        yield np.asarray(image, np.uint8), round_ones, np.empty((0, 5))


def measure(
    labelled: Iterator[tuple[NDArray[np.uint8], Array, Array]],
    sizes: tuple[float, float] = SIZES_PX,
    **options: Any,
) -> Finds:
    """All images of `scenes` or `boxed`; options go to `detect_craters_network`."""
    parts = []
    for image, seen, ignored in labelled:
        found = detect_craters_network(image, least_score=_LEAST_COUNTED, **options)
        parts.append(matched(found, seen, ignored, sizes))
    return Finds(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.found for part in parts]),
        np.concatenate([part.covariance for part in parts]),
        sum(part.labels for part in parts),
    )


def precision_recall(finds: Finds, least_score: float) -> tuple[float, float]:
    """Precision and recall of the finds of at least a score."""
    taken = finds.score >= least_score
    right = int((finds.right & taken).sum())
    return right / max(int(taken.sum()), 1), right / max(finds.labels, 1)


def fitted_spread(off: Array, diameter: Array, score: Array) -> Array:
    """Floor (pixels), share of the diameter and share per doubt of errors, most likely.

    off: (N, K), errors in pixels, taken as normal with the one standard deviation
    floor + diameter (share + doubt (1 - score)).
    """

    def cost(logs: Array) -> float:
        floor, share, doubt = np.exp(logs)
        spread = floor + diameter * (share + doubt * (1.0 - score))
        return float((off.shape[1] * np.log(spread) + 0.5 * (off**2).sum(1) / spread**2).mean())

    best = minimize(cost, np.log([0.2, 0.02, 0.05]), method="Nelder-Mead",
                    bounds=[(math.log(0.02), 2.0), (-9.0, 2.0), (-9.0, 2.0)])  # fmt: skip
    return np.asarray(np.exp(best.x))


def print_errors(finds: Finds) -> None:
    """Errors of the right finds of the default score and more."""
    score = finds.score[finds.right]
    kept = score >= LEAST_SCORE
    truth, found, score = finds.truth[kept], finds.found[kept], score[kept]
    diameter = 2.0 * np.sqrt(truth[:, 2] * truth[:, 3])
    own = 2.0 * np.sqrt(found[:, 2] * found[:, 3])
    off = found - truth
    apart = np.hypot(off[:, 0], off[:, 1]) / diameter
    size = own / diameter - 1.0
    print(
        f"centre error, share of the diameter: median {np.median(apart):.4f}, "
        f"p90 {np.percentile(apart, 90):.4f}"
    )
    print(
        f"diameter error: median {np.median(np.abs(size)):.4f}, "
        f"p90 {np.percentile(np.abs(size), 90):.4f}, bias {np.median(size):+.4f}"
    )
    # The angle of a near circle says nothing; it is judged on its own.
    spread = np.sqrt(np.diagonal(finds.covariance[kept], axis1=1, axis2=2))
    nees = ((off[:, :4] / spread[:, :4]) ** 2).sum(axis=1)
    print(
        f"NEES of x, y, a, b: mean {nees.mean():.2f} (4 expected), "
        f"median {np.median(nees):.2f} (3.36), over 9.488: {np.mean(nees > 9.488):.3f} (0.050)"
    )
    turn = np.abs((off[:, 4] + 0.5 * math.pi) % math.pi - 0.5 * math.pi)
    long = truth[:, 2] > 1.2 * truth[:, 3]
    if long.any():
        within = np.mean(turn[long] < spread[long, 4])
        print(f"theta where a > 1.2 b: median error {np.degrees(np.median(turn[long])):.1f} deg, "
              f"within one sigma {within:.2f} (0.68)")  # fmt: skip
    for name, columns in (("centre", slice(0, 2)), ("axes", slice(2, 4))):
        floor, share, doubt = fitted_spread(off[:, columns], own, score)
        print(f"{name}: floor {floor:.3f} px, share {share:.4f}, doubt {doubt:.4f} fit best")
    for low, high in itertools.pairwise((5, 8, 12, 16, 24, 36, 54, 80, 150)):
        of = (diameter >= low) & (diameter < high)
        if of.sum() > 30:
            each = 1.4826 * np.median(np.abs(off[of, :4]), axis=0)
            print(f"{low:3d}-{high:<3d} px {of.sum():5d}: spread x {each[0]:.2f} y {each[1]:.2f} "
                  f"a {each[2]:.2f} b {each[3]:.2f} px, NEES {nees[of].mean():.2f}")  # fmt: skip


def main() -> None:
    """Measure as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scenes", type=Path, help="folder of renderings")
    source.add_argument("--boxes", type=Path, help="folder of images with boxes")
    parser.add_argument("--model", type=Path, help="another network than the package's")
    parser.add_argument("--enlarge", type=float, default=1.0, help="of images with boxes")
    parser.add_argument("--sizes", type=float, nargs=2, default=SIZES_PX)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--runtime", choices=("auto", "onnxruntime", "opencv"), default="auto")
    arguments = parser.parse_args()
    low, high = arguments.sizes
    scale = arguments.enlarge if arguments.boxes else 1.0
    finds = measure(
        boxed(arguments.boxes, scale) if arguments.boxes else scenes(arguments.scenes),
        (low * scale, high * scale),
        model=arguments.model,
        precision=arguments.precision,
        runtime=arguments.runtime,
    )
    print(f"{finds.labels} craters of {low:g} to {high:g} px")
    print("least score  precision  recall     F1")
    for least in np.arange(0.1, 0.625, 0.025):
        precision, recall = precision_recall(finds, least)
        both = 2.0 * precision * recall / max(precision + recall, 1e-9)
        print(f"{least:11.3f}  {precision:9.3f}  {recall:6.3f}  {both:5.3f}")
    print_errors(finds)


if __name__ == "__main__":
    main()
