"""The two crater detectors as the benches run them, on what, and the figures they are judged by."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trn.detect import Ellipses, detect_craters
from trn.detect.filter import LEAST_SCORE, SMALLEST_PX
from trn.detect.score import f1

Image = np.ndarray[Any, Any]
Detect = Callable[..., Ellipses]


def detector_of(arguments: argparse.Namespace) -> tuple[str, Detect, float]:
    """What is asked for: its name, a detector of (image, least score, smallest diameter), and its
    default score.
    """
    if arguments.detector == "kernel":

        def kernel(image: Image, least: float, smallest_px: float = SMALLEST_PX) -> Ellipses:
            return detect_craters(image, least_score=least, smallest_px=smallest_px)

        return "kernel", kernel, LEAST_SCORE
    # Only here: the kernel needs neither the network's file nor what runs it.
    from trn.detect import network

    precision = arguments.precision

    def net(image: Image, least: float, smallest_px: float = network.SMALLEST_PX) -> Ellipses:
        return network.detect_craters_network(
            image, least_score=least, smallest_px=smallest_px, precision=precision
        )

    return f"network {precision}", net, network.LEAST_SCORE


def figures(rates: tuple[float, float]) -> dict[str, float]:
    """Precision and recall with their F1, for a table."""
    precision, recall = (float(rate) for rate in rates)
    return {"precision": precision, "recall": recall, "F1": float(f1(precision, recall))}


def scene_files(folder: Path) -> list[Path]:
    """The renderings of a folder (models.scenes), in order."""
    found = sorted(folder.glob("*.npz"))
    if not found:
        raise SystemExit(f"{folder}: no renderings (*.npz) there")
    return found
