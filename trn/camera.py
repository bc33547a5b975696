"""Pixels to rays and back: a pinhole camera with plumb_bob distortion.

Axes are OpenCV's (x right, y down, z forward); the first pixel's centre is (0, 0). Distortion is
Brown's model as in OpenCV and ROS (plumb_bob): k1 k2 p1 p2 k3.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from trn.errors import InputError, quoted
from trn.files import write_whole

Array = NDArray[np.float64]

MOST_FILE_BYTES = 1_000_000
MOST_SIDE_PX = 65_536
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one camera.

    width, height: pixels. fx, fy, cx, cy: pixels. distortion: plumb_bob (k1, k2, p1, p2, k3).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @classmethod
    def load(cls, path: str | Path) -> Camera:
        """Read a ROS camera_info YAML file.

        Raises InputError, naming file and field, for anything that is not a usable camera.
        """
        return _camera_from(_read_yaml(Path(path)), str(path))

    def save(self, path: str | Path) -> None:
        """Write a ROS camera_info YAML file."""
        path = Path(path)
        document = {
            "image_width": self.width,
            "image_height": self.height,
            "camera_name": path.stem,
            "camera_matrix": {
                "rows": 3,
                "cols": 3,
                "data": [self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0],
            },
            "distortion_model": "plumb_bob",
            "distortion_coefficients": {"rows": 1, "cols": 5, "data": list(self.distortion)},
        }
        write_whole(path, yaml.safe_dump(document, sort_keys=False))

    def project(self, points_m: Any) -> Array:
        """Pixels, shape (..., 2), of points in camera axes, shape (..., 3).

        NaN for points that are not in front of the camera, and beyond the radius where the
        distortion stops growing (there the model folds back and shows what the lens cannot).
        """
        points = np.asarray(points_m, dtype=np.float64)
        z = points[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(z > 0, points[..., 0] / z, np.nan)
            y = np.where(z > 0, points[..., 1] / z, np.nan)
            seen = x * x + y * y < self.fold_square()
        xd, yd = self._distort(np.where(seen, x, np.nan), np.where(seen, y, np.nan))
        return np.stack([self.fx * xd + self.cx, self.fy * yd + self.cy], axis=-1)

    def pixels_to_rays(self, pixels_px: Any) -> Array:
        """Unit rays in camera axes, shape (..., 3), of pixels, shape (..., 2).

        The distortion is inverted by Newton's method to about 1e-12 of the focal length; NaN where
        it has no inverse.
        """
        pixels = np.asarray(pixels_px, dtype=np.float64)
        xd = (pixels[..., 0] - self.cx) / self.fx
        yd = (pixels[..., 1] - self.cy) / self.fy
        x, y = xd.copy(), yd.copy()
        if any(self.distortion):
            with np.errstate(all="ignore"):
                for _ in range(NEWTON_STEPS):
                    ux, uy = self._distort(x, y)
                    a, b, c, d = self._distortion_jacobian(x, y)
                    determinant = a * d - b * c
                    step_x = (d * (xd - ux) - b * (yd - uy)) / determinant
                    step_y = (a * (yd - uy) - c * (xd - ux)) / determinant
                    x, y = x + step_x, y + step_y
                    moved = np.abs(step_x) + np.abs(step_y)
                    if not (moved > 1e-14).any():
                        break
                ux, uy = self._distort(x, y)
                good = (np.hypot(ux - xd, uy - yd) < 1e-10) & (x * x + y * y < self.fold_square())
            x, y = np.where(good, x, np.nan), np.where(good, y, np.nan)
        norm = np.sqrt(x * x + y * y + 1.0)
        return np.stack([x / norm, y / norm, 1.0 / norm], axis=-1)

    def project_jacobian(self, points_m: Any) -> Array:
        """d pixel / d point, shape (..., 2, 3), of points in camera axes, distortion included."""
        points = np.asarray(points_m, dtype=np.float64)
        z = points[..., 2]
        x, y = points[..., 0] / z, points[..., 1] / z
        a, b, c, d = self._distortion_jacobian(x, y)
        rows = [
            np.stack([a, b, -(a * x + b * y)], axis=-1) * (self.fx / z)[..., None],
            np.stack([c, d, -(c * x + d * y)], axis=-1) * (self.fy / z)[..., None],
        ]
        return np.stack(rows, axis=-2)

    def scaled(self, factor: float) -> Camera:
        """The camera of the image shrunk `factor` times, u' = (u + 0.5) / factor - 0.5.

        The size is rounded to whole pixels and each axis scaled by its own exact ratio.
        """
        width, height = max(1, round(self.width / factor)), max(1, round(self.height / factor))
        x, y = width / self.width, height / self.height
        return Camera(
            width,
            height,
            self.fx * x,
            self.fy * y,
            (self.cx + 0.5) * x - 0.5,
            (self.cy + 0.5) * y - 0.5,
            self.distortion,
        )

    def _distort(self, x: Array, y: Array) -> tuple[Array, Array]:
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return (
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        )

    def _distortion_jacobian(self, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * r2 * k3))
        cross = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
        return (
            radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
            cross,
            cross,
            radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
        )

    def numbers(self) -> tuple[float, ...]:
        """As compiled code takes it: fx fy cx cy, k1 k2 p1 p2 k3, fold_square."""
        return (self.fx, self.fy, self.cx, self.cy, *self.distortion, self.fold_square())

    @cached_property
    def lens(self) -> Array:
        """`numbers` as an array, shape (10,), read-only."""
        lens = np.array(self.numbers())
        lens.setflags(write=False)
        return lens

    def fold_square(self) -> float:
        """Squared radius (normalised) up to which r (1 + k1 r^2 + k2 r^4 + k3 r^6) grows."""
        k1, k2, _, _, k3 = self.distortion
        return _fold_square(k1, k2, k3)


@lru_cache(maxsize=256)
def _fold_square(k1: float, k2: float, k3: float) -> float:
    """See Camera.fold_square: where the slope is zero.

    Solved for 1 / r^2, so that coefficients near zero put the fold far out instead of overflowing.
    """
    roots = np.roots([1.0, 3.0 * k1, 5.0 * k2, 7.0 * k3])
    real = roots[np.abs(roots.imag) <= 1e-9 * np.abs(roots)].real
    farthest = float(real.max(initial=0.0))
    return 1.0 / farthest if farthest > 0 else math.inf


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path}: too large for a camera_info file; give a YAML of a few kB")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not YAML; give a ROS camera_info file") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: not a ROS camera_info file (no fields)")
    return document


def _camera_from(document: dict[str, Any], source: str) -> Camera:
    def side(name: str) -> int:
        value = document.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_SIDE_PX:
            raise InputError(
                f"{source}: {name} must be a whole number of pixels, not {quoted(value)}"
            )
        return value

    def numbers(name: str, counts: tuple[int, ...]) -> list[float]:
        entry = document.get(name)
        data = entry.get("data") if isinstance(entry, dict) else None
        if not isinstance(data, list) or len(data) not in counts:
            wanted = " or ".join(str(c) for c in counts)
            raise InputError(f"{source}: {name}.data must be a list of {wanted} numbers")
        for value in data:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputError(f"{source}: {name}.data holds {quoted(value)}, which is no number")
            if not abs(value) <= sys.float_info.max:
                raise InputError(
                    f"{source}: {name}.data holds {quoted(value)}; give finite numbers"
                )
        return [float(value) for value in data]

    width, height = side("image_width"), side("image_height")
    matrix = numbers("camera_matrix", (9,))
    if matrix[0] <= 0 or matrix[4] <= 0:
        raise InputError(f"{source}: camera_matrix.data must have positive focal lengths")
    if matrix[1] or matrix[3] or matrix[6:] != [0.0, 0.0, 1.0]:
        raise InputError(f"{source}: camera_matrix.data must be [fx 0 cx 0 fy cy 0 0 1]")
    model = document.get("distortion_model", "plumb_bob")
    if model not in ("plumb_bob", ""):
        raise InputError(f"{source}: distortion_model {quoted(model)} is not known; use plumb_bob")
    lens = [0.0] * 5
    if "distortion_coefficients" in document:
        given = numbers("distortion_coefficients", (0, 4, 5))
        lens[: len(given)] = given
    return Camera(
        width,
        height,
        matrix[0],
        matrix[4],
        matrix[2],
        matrix[5],
        (lens[0], lens[1], lens[2], lens[3], lens[4]),
    )
