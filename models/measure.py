"""Errors of the network's ellipses on renderings against their covariances.

    python -m models.measure --scenes runs/crater-valid

prints F1 over least scores, errors, how often they stay within the covariances, and by what the
stated standard deviations of `trn.detect.network_refine` are to be multiplied. What is found and
missed: `python -m bench.craters`.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.targets import scene_paths
from trn.detect.ellipses import diameters, shapes
from trn.detect.network import LEAST_SCORE, detect_craters_network
from trn.detect.score import Matches, at_score, f1, match

Array = NDArray[np.float64]

SIZES_PX = (8.0, 150.0)
_LEAST_COUNTED = 0.05
_CHI_SQUARE_4 = 9.488
"""95 % point of chi-square with 4 degrees of freedom."""


def measured(folder: Path, sizes: tuple[float, float], **options: Any) -> Matches:
    """The network's finds in all scenes of a folder; options go to `detect_craters_network`."""
    parts = []
    for path in scene_paths([folder]):
        with np.load(path) as scene:
            found = detect_craters_network(scene["image"], least_score=_LEAST_COUNTED, **options)
            parts.append(match(found, scene["ellipses"], scene["ignored"], sizes))
    return Matches.joined(parts)


def excess(found: Array, truth: Array, covariance: Array) -> dict[str, float]:
    """Root mean square of the errors of centre, size and shape over what is stated of them.

    found, truth: (N, 5); covariance: (N, 5, 5) of found, as `network_refine` makes it of the
    standard deviations of log sqrt(a b) and of the shape.
    """
    a, b = found[:, 2], found[:, 3]
    own, common = covariance[:, 2, 2] / a**2, covariance[:, 2, 3] / (a * b)
    off = found[:, :2] - truth[:, :2]
    centre = np.einsum("ni,nij,nj->n", off, np.linalg.inv(covariance[:, :2, :2]), off) / 2.0
    size = np.log(diameters(found) / diameters(truth)) ** 2 / (0.5 * (own + common))
    shape = ((shapes(found) - shapes(truth)) ** 2).mean(axis=1) / (2.0 * (own - common))
    return {
        name: float(np.sqrt(each.mean()))
        for name, each in (("centre", centre), ("size", size), ("shape", shape))
    }


def print_scores(matches: Matches) -> None:
    """Precision, recall and F1 over the least score."""
    print("least score  precision  recall     F1")
    for least in np.arange(0.2, 0.625, 0.025):
        precision, recall = at_score(matches, float(least))
        both = float(f1(precision, recall))
        print(f"{least:11.3f}  {precision:9.3f}  {recall:6.3f}  {both:5.3f}")


def print_errors(matches: Matches, least_score: float) -> None:
    """Errors of the right finds of at least a score."""
    score = matches.score[matches.right]
    kept = score >= least_score
    truth, found, score = matches.truth[kept], matches.found[kept], score[kept]
    diameter, own = diameters(truth), diameters(found)
    off = found - truth
    size = own / diameter - 1.0
    for name, error in (("centre", np.hypot(off[:, 0], off[:, 1]) / diameter), ("size", size)):
        print(f"{name} error, share of the diameter: median {np.median(np.abs(error)):.4f}, "
              f"p90 {np.percentile(np.abs(error), 90):.4f}")  # fmt: skip
    print(f"bias of the size: {np.median(size):+.4f}")
    # The angle of a near circle says nothing; it is judged on its own.
    covariance = matches.covariance[kept]
    nees = np.einsum("ni,nij,nj->n", off[:, :4], np.linalg.inv(covariance[:, :4, :4]), off[:, :4])
    print(f"NEES of x, y, a, b: mean {nees.mean():.2f} (4), median {np.median(nees):.2f} (3.36), "
          f"over {_CHI_SQUARE_4}: {np.mean(nees > _CHI_SQUARE_4):.3f} (0.050)")  # fmt: skip
    print_shapes(truth, found, np.sqrt(covariance[:, 4, 4]))
    for name, times in excess(found, truth, covariance).items():
        print(f"{name}: errors are {times:.3f} times what is stated (1)")
    for low, high in itertools.pairwise((8, 12, 16, 24, 36, 54, 80, 150)):
        of = (diameter >= low) & (diameter < high)
        if of.sum() > 30:
            each = 1.4826 * np.median(np.abs(off[of, :4]), axis=0)
            print(f"{low:3d}-{high:<3d} px {of.sum():5d}: spread x {each[0]:.2f} y {each[1]:.2f} "
                  f"a {each[2]:.2f} b {each[3]:.2f} px, NEES {nees[of].mean():.2f}")  # fmt: skip


def print_shapes(truth: Array, found: Array, sigma: Array) -> None:
    """Axis ratios and angles by the true ratio. sigma: (N,), the angle's, radians."""
    true_ratio, ratio = truth[:, 2] / truth[:, 3], found[:, 2] / found[:, 3]
    turn = np.abs((found[:, 4] - truth[:, 4] + 0.5 * math.pi) % math.pi - 0.5 * math.pi)
    for low, high in itertools.pairwise((1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 2.0)):
        of = (true_ratio >= low) & (true_ratio < high)
        if of.sum() > 30:
            print(f"a / b {low:.1f} to {high:.1f}, {of.sum():5d}: true "
                  f"{np.median(true_ratio[of]):.2f}, found {np.median(ratio[of]):.2f}; angle off "
                  f"{np.degrees(np.median(turn[of])):.1f} deg, within one sigma "
                  f"{np.mean(turn[of] < sigma[of]):.2f} (0.68)")  # fmt: skip


def main() -> None:
    """Measure as the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--sizes", type=float, nargs=2, default=SIZES_PX)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--runtime", choices=("auto", "onnxruntime", "opencv"), default="auto")
    parser.add_argument("--model", type=Path, help="another network than the package's")
    arguments = parser.parse_args()
    low, high = arguments.sizes
    matches = measured(
        arguments.scenes, (low, high),
        precision=arguments.precision, runtime=arguments.runtime, model=arguments.model,
    )  # fmt: skip
    print(f"{matches.labels} craters of {low:g} to {high:g} px")
    print_scores(matches)
    print_errors(matches, LEAST_SCORE)


if __name__ == "__main__":
    main()
