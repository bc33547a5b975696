"""Finds of the crater network in labelled scenes, as the refiner is trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.targets import normalised, toned
from trn.detect.crops import cut, frames, halved
from trn.detect.ellipses import diameters, mapped, shapes
from trn.detect.network import proposed, standardised
from trn.detect.network_model import open_network
from trn.detect.suppress import boxes, overlap

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

LEAST_SCORE = 0.2
LEAST_OVERLAP, LEAST_EXCUSING_OVERLAP = 0.35, 0.4
"""Of boxes: a find that overlaps a label so is of that crater, and one that is not and overlaps
what is left out of count so is itself left out."""

_JITTER, _BLURRED = 0.03, 0.25


@dataclass(frozen=True)
class Proposals:
    """Finds: scene (N,), ellipse (N, 5), log-odds (N,), the crater's own (N, 5), NaN for none."""

    images: list[NDArray[np.uint8]]
    scene: NDArray[np.int64]
    found: Array
    odds: Array
    truth: Array

    @classmethod
    def load(cls, paths: list[Path], workers: int) -> Proposals:
        if workers > 1:
            # Not forked: a fork inherits locks of the runtimes' threads, and waits for them.
            with ProcessPoolExecutor(
                workers, get_context("spawn"), cv2.setNumThreads, (1,)
            ) as pool:
                parts = list(pool.map(_of, paths, chunksize=8))
        else:
            parts = [_of(path) for path in paths]
        counts = [len(part[1]) for part in parts]
        return cls(
            [part[0] for part in parts],
            np.repeat(np.arange(len(parts)), counts),
            *(np.concatenate([part[k] for part in parts]) for k in (1, 2, 3)),
        )


def _of(path: Path) -> tuple[NDArray[np.uint8], Array, Array, Array]:
    """Image, and finds, log-odds and craters of one scene."""
    with np.load(path) as scene:
        image, seen, ignored = scene["image"], scene["ellipses"], scene["ignored"]
    rows = proposed(open_network().look(standardised(image)), LEAST_SCORE)
    around = boxes(rows[:, :5])
    shared = overlap(around, boxes(seen)) if len(seen) else np.zeros((len(rows), 1))
    best = shared.argmax(axis=1)
    right = shared.max(axis=1) >= LEAST_OVERLAP
    truth = np.full((len(rows), 5), np.nan)
    truth[right] = seen[best[right]]
    excused = overlap(around, boxes(ignored)).max(axis=1, initial=0.0) >= LEAST_EXCUSING_OVERLAP
    kept = right | ~excused
    return image, rows[kept, :5], logit(rows[kept, 5]), truth[kept]


def crops(paths: Sequence[Path], count: int) -> list[Array32]:
    """About `count` crops of finds in scenes, as the refiner is given them, 16 at a time."""
    found = []
    for path in paths:
        image, ellipses, _, _ = _of(path)
        found.append(cut(halved(standardised(image)), ellipses[:, :2], frames(ellipses)))
    joined = np.concatenate(found)
    joined = joined[:: max(1, len(joined) // count)]
    return [joined[first : first + 16] for first in range(0, len(joined) - 15, 16)]


def batch(
    proposals: Proposals, scenes: int, each: int, rng: np.random.Generator
) -> dict[str, Array32]:
    """Crops (N, 1, S, S), log-odds (N,), right (N,), values (N, 5): `each` finds of some scenes.

    The finds are moved and stretched a little further, turned by any angle and mirrored.
    """
    parts = [_some(proposals, each, rng) for _ in range(scenes)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _some(proposals: Proposals, count: int, rng: np.random.Generator) -> dict[str, Array32]:
    """Finds of one scene, at random."""
    scene = int(proposals.scene[rng.integers(len(proposals.scene))])
    first, last = np.searchsorted(proposals.scene, [scene, scene + 1])
    chosen = rng.integers(first, last, size=count)
    values = np.zeros((count, 5))
    truth, start = proposals.truth[chosen], proposals.found[chosen]
    wide = _JITTER * rng.exponential(size=(count, 1))
    start[:, :2] += wide * diameters(start)[:, None] * rng.standard_normal((count, 2))
    astray = np.eye(2) + wide[:, None] * rng.standard_normal((count, 2, 2))
    angle = rng.uniform(0.0, 2.0 * math.pi, count)
    c, s = np.cos(angle), np.sin(angle)
    mirror = rng.choice([-1.0, 1.0], count)
    turns = np.stack([c, -s * mirror, s, c * mirror], axis=-1).reshape(-1, 2, 2)
    matrices = frames(start) @ astray @ turns
    grey = proposals.images[scene].astype(np.float32)
    levels = halved(normalised(toned(grey, _BLURRED, rng)))
    right = np.isfinite(truth[:, 0])
    back = np.linalg.inv(matrices[right])
    shift = -(back @ start[right, :2, None])[..., 0]
    values[right] = answers(mapped(truth[right], back, shift))
    return {
        "crops": cut(levels, start[:, :2], matrices),
        "odds": proposals.odds[chosen].astype(np.float32),
        "right": right.astype(np.float32),
        "values": values.astype(np.float32),
    }


def answers(local: Array) -> Array:
    """Of ellipses (N, 5) in their crops' planes, (N, 5): centre, log of the size, two of shape."""
    return np.column_stack([local[:, :2], np.log(diameters(local)), shapes(local)])
