"""How the network does on labelled renderings: precision, recall, errors, and their spreads.

    python -m models.measure --scenes runs/crater-valid

prints one table, with the spreads that `trn.detect.network` should state. A find is right where
its box and a label's overlap by half (IoU 0.5), surest first; finds that overlap only an ignored
crater, or lie outside the range of sizes, do not count.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trn.detect.ellipses import Ellipses
from trn.detect.network import detect_craters_network

Array = NDArray[np.float64]

SIZES_PX = (12.0, 150.0)
_LEAST_OVERLAP, _LEAST_IGNORED_OVERLAP = 0.5, 0.4
_LEAST_SCORE = 0.05


@dataclass(frozen=True)
class Finds:
    """All finds of a set of scenes, and how many craters there were.

    score, right: (N,), of each find that counts. truth, found: (M, 5), x, y, a, b, theta of the
    right ones; covariance: (M, 5, 5), theirs. labels: craters asked for.
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


def measure(folder: Path, sizes: tuple[float, float] = SIZES_PX, **options: str) -> Finds:
    """All scenes of a folder; options go to `detect_craters_network`."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as scene:
            found = detect_craters_network(
                scene["image"],
                least_score=_LEAST_SCORE,
                **options,  # type: ignore[arg-type]
            )
            parts.append(matched(found, scene["ellipses"], scene["ignored"], sizes))
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


def errors(finds: Finds) -> dict[str, Array]:
    """Errors of the right finds: x, y, and size over the diameter; the normalised, squared sum.

    The shape's error is that of ln(a / b) (cos 2 theta, sin 2 theta), which has no jump.
    """
    diameter = 2.0 * np.sqrt(finds.truth[:, 2] * finds.truth[:, 3])
    own = 2.0 * np.sqrt(finds.found[:, 2] * finds.found[:, 3])
    offset = (finds.found[:, :2] - finds.truth[:, :2]) / diameter[:, None]
    off = finds.found - finds.truth
    off[:, 4] = (off[:, 4] + 0.5 * math.pi) % math.pi - 0.5 * math.pi
    # The angle of a near circle says nothing; it is judged on its own.
    kept = finds.covariance[:, :4, :4]
    nees = np.einsum("ni,nij,nj->n", off[:, :4], np.linalg.inv(kept), off[:, :4])
    return {
        "diameter": diameter,
        "centre": np.hypot(*offset.T),
        "x": offset[:, 0],
        "y": offset[:, 1],
        "size": own / diameter - 1.0,
        "a": off[:, 2] / finds.truth[:, 2],
        "b": off[:, 3] / finds.truth[:, 3],
        "theta": off[:, 4],
        "stretch": np.log(finds.truth[:, 2] / finds.truth[:, 3]),
        "nees": nees,
    }


def fitted_spread(deviation: Array, diameter: Array, score: Array) -> Array:
    """Floor (pixels), share of the diameter and share per doubt that explain deviations best.

    Of all such standard deviations the ones that make the Gaussian likelihood largest: NEES is then
    its expected value. deviation: (N, 2), pixels, both of the same spread.
    """

    def unlikeliness(logs: Array) -> float:
        floor, share, doubt = np.exp(logs)
        sigma = floor + diameter * (share + doubt * (1.0 - score))
        return float(np.mean(2.0 * np.log(sigma) + 0.5 * (deviation**2).sum(axis=1) / sigma**2))

    return np.exp(minimize(unlikeliness, np.log([0.2, 0.02, 0.05]), method="Nelder-Mead").x)


def main() -> None:
    """Measure as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--sizes", type=float, nargs=2, default=SIZES_PX)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--runtime", choices=("auto", "onnxruntime", "opencv"), default="auto")
    arguments = parser.parse_args()
    finds = measure(
        arguments.scenes,
        tuple(arguments.sizes),
        precision=arguments.precision,
        runtime=arguments.runtime,
    )
    print(f"{finds.labels} craters of {arguments.sizes[0]:g} to {arguments.sizes[1]:g} px")
    print("least score  precision  recall     F1")
    for least in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
        precision, recall = precision_recall(finds, least)
        both = 2.0 * precision * recall / max(precision + recall, 1e-9)
        print(f"{least:11.2f}  {precision:9.3f}  {recall:6.3f}  {both:5.3f}")
    off = errors(finds)
    print(f"centre error, share of the diameter: median {np.median(off['centre']):.4f}, "
          f"p90 {np.percentile(off['centre'], 90):.4f}")  # fmt: skip
    print(f"diameter error: median {np.median(np.abs(off['size'])):.4f}, "
          f"p90 {np.percentile(np.abs(off['size']), 90):.4f}, "
          f"bias {np.median(off['size']):+.4f}")  # fmt: skip
    nees = off["nees"]
    print(
        f"NEES of x, y, a, b: mean {nees.mean():.2f} (4 expected), "
        f"median {np.median(nees):.2f} (3.36), over 9.488: {np.mean(nees > 9.488):.3f} (0.050)"
    )
    diameter = off["diameter"]
    own = 2.0 * np.sqrt(finds.found[:, 2] * finds.found[:, 3])
    score = finds.score[finds.right]
    for name, deviation in (
        ("centre", (finds.found - finds.truth)[:, :2]),
        ("axes", (finds.found - finds.truth)[:, 2:4]),
    ):
        floor, share, doubt = fitted_spread(deviation, own, score)
        print(f"fitted spread, {name}: {floor:.3f} px + D ({share:.4f} + {doubt:.4f} (1 - score))")
    bounds = (5, 8, 12, 16, 24, 36, 54, 80, 150)
    for low, high in itertools.pairwise(bounds):
        of = (diameter >= low) & (diameter < high)
        if of.sum() > 30:
            spread = [1.4826 * np.median(np.abs(off[key][of])) for key in ("x", "y", "a", "b")]
            print(f"{low:3d}-{high:<3d} px {of.sum():5d}: spread x {spread[0]:.4f} "
                  f"y {spread[1]:.4f} a {spread[2]:.4f} b {spread[3]:.4f}, "
                  f"NEES {nees[of].mean():.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
