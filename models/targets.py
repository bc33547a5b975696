"""Crops of labelled scenes as the network is trained on them, and what it should answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from trn.detect.ellipses import mapped
from trn.errors import InputError

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

PLACE_PX = 2.0
UNIT_PX = 8.0
MOST_PX = 64.0
"""Largest diameter to find; the image made smaller brings larger craters down to it."""

LEAST_PX = 8.0
"""Smallest diameter asked for; what is smaller is neither right nor wrong."""

_LEAST_SCALE, _MOST_SCALE = 0.6, 1.15
_LEAST_SQUEEZE = 0.6  # As seen 53 degrees aslant.


def scene_paths(folders: Sequence[Path]) -> list[Path]:
    """The scenes of folders, each folder's by name; raises InputError where there are none."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    if not paths:
        raise InputError(f"{folders[0]}: no scenes; make them with `python -m models.scenes`")
    return paths


@dataclass(frozen=True)
class Scenes:
    """Scenes held in memory: images, and for each the rows x, y, a, b, theta, seen (1) or not."""

    images: list[NDArray[np.uint8]]
    craters: list[Array]

    @classmethod
    def load(cls, paths: list[Path]) -> Scenes:
        images, craters = [], []
        for path in paths:
            with np.load(path) as scene:
                images.append(scene["image"])
                rows = [
                    np.column_stack([scene[key], np.full(len(scene[key]), flag)])
                    for key, flag in (("ellipses", 1.0), ("ignored", 0.0))
                ]
                craters.append(np.concatenate(rows))
        return cls(images, craters)


def crop(
    scenes: Scenes, size: int, warped: float, rng: np.random.Generator
) -> tuple[Array32, Array]:
    """A random square of a random scene: image in grey levels, (size, size), and its craters.

    Turned and mirrored in one of eight ways; or, a share `warped` of them, turned by any angle,
    scaled and squeezed along any direction, as ground seen aslant is: few scenes are tilted much,
    and from round craters alone the net learns to call all of them round. Then tone and noise.
    """
    index = int(rng.integers(len(scenes.images)))
    image, craters = scenes.images[index], scenes.craters[index]
    is_warped = bool(rng.uniform() < warped)
    forward = _warp(rng) if is_warped else _rotation(0.5 * math.pi * int(rng.integers(4))).round()
    if rng.integers(2):
        forward[:, 0] *= -1.0
    side = np.array(image.shape[::-1], dtype=np.float64)
    # What the square's corners reach to in the scene, from its middle.
    reach = 0.5 * size * np.abs(np.linalg.inv(forward)).sum(axis=1)
    forward *= max(1.0, float((reach / (0.5 * side)).max()))
    backward = np.linalg.inv(forward)
    reach = 0.5 * size * np.abs(backward).sum(axis=1)
    middle = reach + rng.uniform(size=2) * (side - 2.0 * reach)
    if not is_warped:
        middle = middle.round()
    middle -= 0.5
    shrunk = math.sqrt(abs(np.linalg.det(forward)))
    if shrunk < 0.95:  # Else fine noise would alias.
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * math.sqrt(1.0 / shrunk**2 - 1.0))
    to_middle = 0.5 * (size - 1)
    part = cv2.warpAffine(
        image,
        np.column_stack([backward, middle - backward @ [to_middle, to_middle]]),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    ellipses = mapped(craters[:, :5], forward, to_middle - forward @ middle)
    placed = np.column_stack([ellipses, craters[:, 5]])
    return _developed(part.astype(np.float32), rng), placed


def _rotation(angle: float) -> Array:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _warp(rng: np.random.Generator) -> Array:
    """A linear map: a squeeze along any direction, a scale and a turn."""
    squeeze, scale = rng.uniform(_LEAST_SQUEEZE, 1.0), rng.uniform(_LEAST_SCALE, _MOST_SCALE)
    turns = _rotation(rng.uniform(0.0, 2.0 * math.pi)), _rotation(rng.uniform(0.0, 2.0 * math.pi))
    root = math.sqrt(squeeze)
    return np.asarray(scale * turns[0] @ np.diag([root, 1.0 / root]) @ turns[1])


def toned(image: Array32, blurred: float, rng: np.random.Generator) -> Array32:
    """Grey levels with further tone and noise, a share `blurred` of them blurred."""
    if rng.uniform() < blurred:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0))
    if rng.uniform() < 0.5:
        curve = math.exp(rng.uniform(-0.4, 0.4))
        image = 255.0 * (image / 255.0) ** np.float32(curve)
    if rng.uniform() < 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + np.float32(0.08 * rng.uniform() * image.std()) * noise
    return image


def _developed(image: Array32, rng: np.random.Generator) -> Array32:
    """Toned, and some with more contrast, so that no scene is seen twice the same."""
    image = toned(image, 0.3, rng)
    if rng.uniform() < 0.3:
        gain = np.float32(rng.uniform(1.0, 1.6))
        image = np.clip(gain * (image - image.mean()) + image.mean(), 0.0, 255.0)
    return image


def normalised(image: Array32) -> Array32:
    """Zero mean and unit variance; a blank image stays near zero."""
    return np.asarray((image - image.mean()) / (image.std() + 1.0), dtype=np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def targets(craters: Any, heat: Any, weight: Any, values: Any, share: Any) -> None:
    """What the net should say of a crop, into zeroed arrays of its places, (S, S).

    heat: 1 at the place of a centre, falling off around it; weight: 0 where nothing is asked,
    else 1; values (5, S, S): offset x, y (pixels), log size, two of shape; share: how much the
    values count. Labels of LEAST_PX to MOST_PX are asked for.
    """
    side = heat.shape[0]
    weight[:] = 1.0
    for k in range(craters.shape[0]):
        x, y, a, b, theta, seen = craters[k]
        diameter = 2.0 * math.sqrt(a * b)
        if diameter < 0.55 * LEAST_PX:
            continue
        gx, gy = (x + 0.5) / PLACE_PX - 0.5, (y + 0.5) / PLACE_PX - 0.5
        wanted = seen > 0.5 and LEAST_PX <= diameter <= MOST_PX
        if not wanted:
            radius = min(max(0.1 * diameter, 1.0), 8.0)
            for j in range(max(0, math.ceil(gy - radius)), min(side, int(gy + radius) + 1)):
                for i in range(max(0, math.ceil(gx - radius)), min(side, int(gx + radius) + 1)):
                    if (i - gx) ** 2 + (j - gy) ** 2 <= radius * radius and heat[j, i] < 0.3:
                        weight[j, i] = 0.0
            continue
        sigma = 0.5 + 0.03 * diameter
        reach = 3.0 * sigma
        ci, cj = round(gx), round(gy)
        stretch = math.log(a / b)
        for j in range(max(0, math.ceil(gy - reach)), min(side, int(gy + reach) + 1)):
            for i in range(max(0, math.ceil(gx - reach)), min(side, int(gx + reach) + 1)):
                d2 = (i - gx) ** 2 + (j - gy) ** 2
                level = math.exp(-0.5 * d2 / (sigma * sigma))
                at_centre = i == ci and j == cj
                if at_centre:
                    level = 1.0
                if level > 0.3:
                    weight[j, i] = 1.0
                if level > heat[j, i]:
                    heat[j, i] = level
                near = abs(i - ci) <= 1 and abs(j - cj) <= 1
                counts = 1.0 if at_centre else 0.3 * level
                if near and counts > share[j, i]:
                    share[j, i] = counts
                    values[0, j, i] = (gx - i) * PLACE_PX
                    values[1, j, i] = (gy - j) * PLACE_PX
                    values[2, j, i] = math.log(0.5 * diameter / UNIT_PX)
                    values[3, j, i] = stretch * math.cos(2.0 * theta)
                    values[4, j, i] = stretch * math.sin(2.0 * theta)


def batch(
    scenes: Scenes,
    count: int,
    size: int,
    warped: float,
    rng: np.random.Generator,
) -> dict[str, Array32]:
    """Crops and answers: image (N, 1, size, size), the others (N, ..., size / 2, size / 2)."""
    side = round(size / PLACE_PX)
    out = {
        "image": np.empty((count, 1, size, size), np.float32),
        "heat": np.zeros((count, side, side), np.float32),
        "weight": np.empty((count, side, side), np.float32),
        "values": np.zeros((count, 5, side, side), np.float32),
        "share": np.zeros((count, side, side), np.float32),
    }
    for k in range(count):
        image, craters = crop(scenes, size, warped, rng)
        out["image"][k, 0] = normalised(image)
        targets(craters, out["heat"][k], out["weight"][k], out["values"][k], out["share"][k])
    return out
