"""Precision over recall by size class, of both detectors: hand-boxed photographs and renderings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.detectors import Image, detector_of, scene_files
from bench.photographs import (
    CLASSES_PX,
    LEAST_KEPT,
    box_margins,
    drawn_wider,
    matched,
    nac_images,
)
from bench.tables import data_folder
from trn.detect.ellipses import SMALLEST_SOUGHT_PX
from trn.detect.score import Matches, at_score, precision_recall

RENDERED_CLASSES_PX = ((12, 16), (16, 32), (32, 64), (64, 150))
COLOURS = {"kernel": "#1f5fa8", "network": "#d9731a"}
MOST_POINTS = 200


def curves(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw precision over recall by size class, on NAC images and on renderings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    told: dict[str, Any] = {}
    for name, colour in COLOURS.items():
        _, detect, least_score = detector_of(
            argparse.Namespace(detector=name, precision=arguments.precision)
        )
        styles = ("-", "exact boxes"), ("--", "boxes as the labels are drawn")
        for (style, label), by_class in zip(styles, _nac(detect, least_score)):
            for axis, sizes, matches in zip(axes[0], CLASSES_PX, by_class):
                line = _line(axis, matches, least_score, colour, style, f"{name}, {label}")
                told[f"NAC {sizes[0]}-{sizes[1]} px, {name}, {label}"] = line
                high = f" to {sizes[1]}" if sizes[1] < 4096 else " and more"
                axis.set_title(f"NAC, boxes of {sizes[0]}{high} px ({matches.labels})", fontsize=9)
        for axis, sizes, matches in zip(
            axes[1], RENDERED_CLASSES_PX, _rendered(detect, arguments.scenes)
        ):
            line = _line(axis, matches, least_score, colour, "-", name)
            told[f"renderings {sizes[0]}-{sizes[1]} px, {name}"] = line
            axis.set_title(
                f"renderings, {sizes[0]} to {sizes[1]} px ({matches.labels})", fontsize=9
            )
    for axis in axes.flat:
        axis.set(xlim=(0, 1), ylim=(0, 1.02))
        axis.grid(color="#dddddd", linewidth=0.6)
    for axis in axes[1]:
        axis.plot([0.85], [0.85], "+", color="black", markersize=9)
        axis.set_xlabel("recall")
    for axis in axes[:, 0]:
        axis.set_ylabel("precision")
    axes[0, 1].legend(fontsize=7, loc="lower left")
    axes[1, 0].legend(fontsize=7, loc="lower left", title="+: goal; dots: default score",
                      title_fontsize=7)  # fmt: skip
    figure.savefig(arguments.out, dpi=90)
    return told


def _nac(detect: Callable[..., Any], least_score: float) -> tuple[list[Matches], list[Matches]]:
    """By size class: by exact boxes, and by boxes as wide as the labels'."""
    images = list(nac_images(data_folder() / "nac_craters"))
    labels = [boxed for _, _, boxed in images]
    exact = [detect(image, LEAST_KEPT) for _, image, _ in images]
    smaller = [detect(image, LEAST_KEPT, SMALLEST_SOUGHT_PX) for _, image, _ in images]
    margins = box_margins(smaller, labels, least_score)
    drawn = [drawn_wider(*pair) for pair in zip(smaller, margins)]
    return _by_class(exact, labels), _by_class(drawn, labels)


def _by_class(finds: list[Any], labels: list[Image]) -> list[Matches]:
    return [
        matched(finds, labels, None, (low, float(np.nextafter(high, 0.0))))
        for low, high in CLASSES_PX
    ]


def _rendered(detect: Callable[..., Any], folder: Path) -> list[Matches]:
    finds, labels, ignored = [], [], []
    for path in scene_files(folder):
        with np.load(path) as scene:
            finds.append(detect(scene["image"], LEAST_KEPT))
            labels.append(scene["ellipses"])
            ignored.append(scene["ignored"])
    return [matched(finds, labels, ignored, sizes) for sizes in RENDERED_CLASSES_PX]


def _line(
    axis: Any, matches: Matches, least_score: float, colour: str, style: str, label: str
) -> list[dict[str, float]]:
    """Draw one curve, a dot where the default score is; returns its points."""
    score, precision, recall = precision_recall(matches)
    axis.plot(recall, precision, style, color=colour, linewidth=1.2, label=label)
    at = at_score(matches, least_score)
    axis.plot([at[1]], [at[0]], "o", color=colour, markersize=4)
    chosen = np.unique(np.linspace(0, len(score) - 1, MOST_POINTS).astype(int))
    return [
        {"least score": float(score[k]), "precision": float(precision[k]),
         "recall": float(recall[k])}
        for k in chosen
    ]  # fmt: skip
