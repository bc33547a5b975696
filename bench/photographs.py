"""Craters in photographs: NAC images boxed by hand, Apollo 15 frames over a catalogue.

For judging only: no weight, constant or default of a detector is set by them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.apollo import apollo_15
from bench.detectors import Image, detector_of, figures
from bench.tables import data_folder, show
from trn.camera import Camera
from trn.detect import Ellipses
from trn.detect.ellipses import SMALLEST_SOUGHT_PX, diameters
from trn.detect.score import (
    LEAST_OVERLAP,
    Matches,
    at_score,
    challenge_score,
    f1,
    match,
    precision_recall,
)
from trn.detect.suppress import boxes
from trn.identify.heights import rim_heights
from trn.identify.index import CraterIndex
from trn.identify.rims import project_rims, undistorted
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog
from trn.maps.lunar_map import LunarMap
from trn.moon.pose import Pose

CLASSES_PX = ((8, 16), (16, 32), (32, 64), (64, 4096))
NAC_SIZES_PX = (8.0, 4096.0)
LEAST_KEPT = 0.05
GOALS = {"kernel": 0.5, "the better detector": 0.7}
OVERLAPS = (0.5, 0.4, 0.3, 0.2)
SAME_CRATER_OVERLAP = 0.2
"""A find and a label that share so much are taken for one crater, to see how wide each is drawn."""
SAME_CENTRE, SAME_SIZE = 0.35, 1.5
"""A find is a listed crater within this share of its diameter and this factor of its size."""


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
    """F1 by boxes at IoU 0.5, by size and image, NASA's metric, and how the boxes were drawn."""
    name, detect, least_score = detector_of(arguments)
    images = list(nac_images(data_folder() / "nac_craters"))
    finds = [detect(image, LEAST_KEPT) for _, image, _ in images]
    labels = [boxed for _, _, boxed in images]
    names = [each for each, _, _ in images]
    total = sum(int((diameters(boxed) >= NAC_SIZES_PX[0]).sum()) for boxed in labels)
    own = _by_boxes(finds, labels, names, least_score)
    show(f"NAC images, {name}: {total} craters of 8 px and more", own["rows"])
    show("By size, at the default", own["classes"])
    show("By image, at the default", own["images"])
    overlaps = [
        {"IoU": iou, **_best(matched(finds, labels, least_overlap=iou))} for iou in OVERLAPS
    ]
    show("Where boxes need to overlap less, best score", overlaps)
    challenge = []
    for found, boxed in zip(finds, labels):
        sure = found.chosen(found.score >= least_score)
        challenge.append(challenge_score(sure, boxed[diameters(boxed) >= NAC_SIZES_PX[0]]))
    nasa = 100.0 * float(np.mean(challenge))
    print(f"\nNASA's challenge metric against the boxes as ellipses: {nasa:.1f} of 100")
    smaller = [detect(image, LEAST_KEPT, SMALLEST_SOUGHT_PX) for _, image, _ in images]
    ratio, width = map(np.concatenate, zip(*_widths(smaller, labels, least_score)))
    of_class = [(width >= low) & (width < high) for low, high in CLASSES_PX]
    drawn = [
        {"size px": f"{low}-{high}", "craters": int(of.sum()),
         "box over rim, median": float(np.median(ratio[of]))}
        for (low, high), of in zip(CLASSES_PX, of_class)
    ]  # fmt: skip
    show("How wide boxes are drawn around rims", drawn)
    margins = box_margins(smaller, labels, least_score)
    widened = _by_boxes(
        [drawn_wider(found, margin) for found, margin in zip(smaller, margins)],
        labels, names, least_score,
    )  # fmt: skip
    show(
        f"Rims from {SMALLEST_SOUGHT_PX:g} px, their boxes drawn {min(margins):.2f} to "
        f"{max(margins):.2f} times as wide, as on the other images",
        widened["rows"],
    )
    show("By size, at the default", widened["classes"])
    show("By image, at the default", widened["images"])
    print("\ngoals: F1 " + ", ".join(f"{goal} {what}" for what, goal in GOALS.items()))
    return {"own": own, "overlaps": overlaps, "nasa": nasa, "drawn": drawn, "margins": margins,
            "widened": widened}  # fmt: skip


def box_margins(finds: list[Ellipses], labels: list[Image], least_score: float) -> list[float]:
    """How many times as wide as the box of an ellipse the hand-drawn one is, an image each.

    The median over the other images only, so that no image's labels say how it is judged.
    """
    ratios = [ratio for ratio, _ in _widths(finds, labels, least_score)]
    return [
        float(np.median(np.concatenate(ratios[:k] + ratios[k + 1 :]))) for k in range(len(ratios))
    ]


def _widths(
    finds: list[Ellipses], labels: list[Image], least_score: float
) -> list[tuple[Image, Image]]:
    """Of the craters that find and label agree on, the label's width over the ellipse's box's, and
    the label's width, an image each.
    """
    found = []
    for each, boxed in zip(finds, labels):
        sure = each.chosen(each.score >= least_score)
        pairs = match(sure, boxed, None, NAC_SIZES_PX, SAME_CRATER_OVERLAP)
        width = np.sqrt(_area(pairs.truth))
        found.append((width / np.sqrt(_area(pairs.found)), width))
    return found


def apollo(arguments: argparse.Namespace) -> dict[str, Any]:
    """Listed craters of 5 km and more found in Apollo 15 frames, and how wide and where."""
    name, detect, least_score = detector_of(arguments)
    catalog = read_catalog(data_folder() / "catalogs/lunar_craters_5km.csv").catalog
    rows, ratios, aside = [], [], []
    with apollo_15() as flight:
        for frame in flight.frames:
            listed = _in_frame(flight.camera, flight.fixed(frame), catalog, flight.moon_map)
            found = undistorted(detect(frame.image, least_score), flight.camera).values
            wider, off = _against(found, listed)
            ratios.append(wider)
            aside.append(off)
            rows.append(
                {"frame": frame.name, "listed": len(listed), "found": len(wider),
                 "finds of all sizes": len(found)}
            )  # fmt: skip
    show(f"Apollo 15, {name}: listed craters of 5 km and more", rows)
    ratio, off = np.concatenate(ratios), np.concatenate(aside)
    low, median, high = (float(value) for value in np.percentile(ratio, (25, 50, 75)))
    errors = {
        "found": len(ratio),
        "diameter over the listed one, median": median,
        "quartiles": f"{low:.3f} to {high:.3f}",
        "centre off, share of the diameter, median": float(np.median(off)),
    }
    show("Their rims against the catalogue", [errors])
    return {"frames": rows, "errors": errors}


def _in_frame(camera: Camera, pose: Pose, catalog: CraterCatalog, moon_map: LunarMap) -> Image:
    """Ellipses (N, 5), lens removed, of the craters in view whose rims are in the map."""
    on_sphere = CraterIndex.of(catalog)
    away = on_sphere.centre - pose.position_m
    place = camera.project(pose.to_camera(on_sphere.centre))
    size = np.array([camera.width, camera.height])
    seen = (np.einsum("ni,ni->n", away, on_sphere.normal) < 0.0) & (
        (place > 0.0) & (place < size - 1.0)
    ).all(axis=1)
    chosen = catalog.chosen(on_sphere.number[seen])
    index = CraterIndex.of(chosen, rim_heights(moon_map, chosen))
    return project_rims(camera, pose, index.centre, index.first, index.second).values


def _against(found: Image, listed: Image) -> tuple[Image, Image]:
    """Of each listed crater that is found: diameter over the listed, and how far off the centre."""
    own, wanted = diameters(found), diameters(listed)
    apart = np.hypot(*(found[:, None, :2] - listed[None, :, :2]).transpose(2, 0, 1)) / wanted
    growth = own[:, None] / wanted
    same = (apart < SAME_CENTRE) & (np.maximum(growth, 1.0 / growth) < SAME_SIZE)
    nearest = np.argmin(np.where(same, apart, np.inf), axis=0)
    hit = np.flatnonzero(same.any(axis=0))
    return growth[nearest[hit], hit], apart[nearest[hit], hit]


def _by_boxes(
    finds: list[Ellipses], labels: list[Image], names: list[str], least_score: float
) -> dict[str, list[dict[str, Any]]]:
    """Precision, recall and F1: at the best and the default score, by size, by image."""
    joined = matched(finds, labels)
    rows = [
        {"at": "best", **_best(joined)},
        {"at": "default", "least score": least_score, **figures(at_score(joined, least_score))},
    ]
    classes = []
    for low, high in CLASSES_PX:
        # Half open: boxes have whole sides, and many are just 16 px.
        of_size = matched(finds, labels, sizes_px=(low, np.nextafter(high, 0.0)))
        classes.append(
            {"size px": f"{low}-{high}", "labels": of_size.labels,
             **figures(at_score(of_size, least_score))}
        )  # fmt: skip
    images = []
    for found, boxed, name in zip(finds, labels, names):
        alone = match(found, boxed, None, NAC_SIZES_PX)
        images.append(
            {"image": name, "labels": alone.labels, **figures(at_score(alone, least_score))}
        )
    return {"rows": rows, "classes": classes, "images": images}


def matched(
    finds: list[Ellipses],
    labels: list[Image],
    ignored: list[Image] | None = None,
    sizes_px: tuple[float, float] = NAC_SIZES_PX,
    least_overlap: float = LEAST_OVERLAP,
) -> Matches:
    """Finds of all images matched to their labels, as trn.detect.score.match does."""
    excused = [None] * len(labels) if ignored is None else ignored
    return Matches.joined(
        [
            match(found, boxed, aside, sizes_px, least_overlap)
            for found, boxed, aside in zip(finds, labels, excused)
        ]
    )


def _best(matches: Matches) -> dict[str, float]:
    """The figures at the score of highest F1."""
    score, precision, recall = precision_recall(matches)
    best = int(np.argmax(f1(precision, recall)))
    return {"least score": float(score[best]), **figures((precision[best], recall[best]))}


def drawn_wider(found: Ellipses, margin: float) -> Ellipses:
    """Ellipses so many times as wide."""
    return replace(found, values=found.values * np.array([1.0, 1.0, margin, margin, 1.0]))


def _area(values: Image) -> Image:
    left, top, right, bottom = boxes(values).T
    return (right - left) * (bottom - top)
