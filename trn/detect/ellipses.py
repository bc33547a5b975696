"""Crater rims in an image as ellipses: arrays, conic matrices, and the detections file.

Centre and semi-axes are in pixels of the image; theta is the angle of the major axis from +x
towards +y (clockwise as seen, y being down), in (-pi/2, pi/2].
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.errors import InputError, quoted
from trn.moon.frames import wrap_axis

Array = NDArray[np.float64]

MOST_FILE_BYTES = 16_000_000
MOST_ELLIPSES = 20_000
MOST_PX = 1e5
SMALLEST_SOUGHT_PX = 4.0
MOST_RATIO = 4.0
FIELDS = ("x", "y", "a", "b", "theta_rad")


def check_smallest(smallest_px: float, name: str = "smallest_px") -> None:
    """Raise InputError for a least diameter that no detector can look for."""
    if not SMALLEST_SOUGHT_PX <= smallest_px <= MOST_PX:
        raise InputError(
            f"{name}: {smallest_px:g}; give a diameter of {SMALLEST_SOUGHT_PX:g} to {MOST_PX:.0f} "
            "pixels"
        )


@dataclass(frozen=True, eq=False)
class Ellipses:
    """Ellipses of one image.

    values: (N, 5), x, y, semi-major a, semi-minor b (pixels, a >= b > 0), theta (radians).
    score: (N,), higher is surer. covariance: (N, 5, 5), of the values, or None where unknown.
    """

    values: Array
    score: Array
    covariance: Array | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @classmethod
    def of(cls, values: Any, score: Any = None, covariance: Any = None) -> Ellipses:
        """Ellipses in normal form: axes swapped where a < b, theta wrapped.

        values: (N, 5). score: (N,), ones where left out. covariance: (N, 5, 5) in the order given,
        permuted along with the axes.
        """
        given = np.array(values, dtype=np.float64).reshape(-1, 5)
        swapped = given[:, 2] < given[:, 3]
        order = np.where(swapped[:, None], [0, 1, 3, 2, 4], [0, 1, 2, 3, 4])
        normal = np.take_along_axis(given, order, axis=1)
        turned = normal[:, 4] + np.where(swapped, 0.5 * math.pi, 0.0)
        normal[:, 4] = wrap_axis(turned)
        scores = np.ones(len(given)) if score is None else np.asarray(score, dtype=np.float64)
        spread = None
        if covariance is not None:
            spread = np.array(covariance, dtype=np.float64).reshape(-1, 5, 5)
            spread = np.take_along_axis(spread, order[:, :, None], axis=1)
            spread = np.take_along_axis(spread, order[:, None, :], axis=2)
        return cls(normal, scores, spread)

    def chosen(self, keep: NDArray[Any]) -> Ellipses:
        """The ellipses that keep, bool (N,) or indices, picks."""
        spread = None if self.covariance is None else self.covariance[keep]
        return Ellipses(self.values[keep], self.score[keep], spread)

    def conics(self) -> Array:
        """Symmetric matrices A, (N, 3, 3), with p^T A p = 0 for p = (x, y, 1) on the ellipse.

        Negative inside; scaled so that A[:2, :2] has the eigenvalues 1/a^2 and 1/b^2.
        """
        x, y, a, b, theta = self.values.T
        c, s = np.cos(theta), np.sin(theta)
        axes = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)
        scale = np.stack([1.0 / a**2, 1.0 / b**2], -1)
        quadratic = np.swapaxes(axes, 1, 2) @ (scale[:, :, None] * axes)
        centre = np.stack([x, y], -1)
        linear = -(quadratic @ centre[:, :, None])[:, :, 0]
        constant = -np.einsum("ni,ni->n", linear, centre) - 1.0
        conics = np.empty((len(self), 3, 3))
        conics[:, :2, :2] = quadratic
        conics[:, :2, 2] = conics[:, 2, :2] = linear
        conics[:, 2, 2] = constant
        return conics

    @classmethod
    def from_conics(cls, conics: Array, score: Any = None) -> Ellipses:
        """Ellipses of conic matrices (N, 3, 3) of any scale; NaN rows where a conic is no ellipse.

        Christian, Derksen, Watkins (2021), Lunar crater identification in digital images, J.
        Astronaut. Sci. 68, eqs. 8-12, written with the eigenvalues of the quadratic part.
        """
        conics = np.asarray(conics, dtype=np.float64).reshape(-1, 3, 3)
        values = np.full((len(conics), 5), np.nan)
        with np.errstate(all="ignore"):
            usable = np.isfinite(conics).all(axis=(1, 2)) & (np.linalg.det(conics[:, :2, :2]) > 0)
            picked = conics[usable]
            picked = picked * np.sign(picked[:, 0, 0] + picked[:, 1, 1])[:, None, None]
            quadratic = picked[:, :2, :2]
            centre = -np.linalg.solve(quadratic, picked[:, :2, 2:])[:, :, 0]
            level = np.einsum("ni,ni->n", picked[:, 2, :2], centre) + picked[:, 2, 2]
            eigenvalues, vectors = np.linalg.eigh(quadratic)
            a, b = np.sqrt(-level[:, None] / eigenvalues).T
            theta = np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0])
            rows = np.column_stack([centre, a, b, theta])
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        values[usable] = rows
        return cls.of(values, score)

    def to_dict(self) -> dict[str, Any]:
        """The values of a detections file."""
        rows = [
            {**dict(zip(FIELDS, map(float, row))), "score": float(score)}
            for row, score in zip(self.values, self.score)
        ]
        return {"ellipses": rows}


def diameters(values: Array) -> Array:
    """Diameters (N,) of the circles of the same area, pixels."""
    return np.asarray(2.0 * np.sqrt(values[:, 2] * values[:, 3]))


def shapes(values: Array) -> Array:
    """log(a / b) times cosine and sine of 2 theta (N, 2) of ellipses (N, 5): smooth where a = b."""
    _, _, a, b, theta = values.T
    return np.asarray(
        np.log(a / b)[:, None] * np.column_stack([np.cos(2.0 * theta), np.sin(2.0 * theta)])
    )


def of_shape(centre: Array, radius: Array, shape: Array) -> Array:
    """Ellipses (N, 5) of centres (N, 2), radii sqrt(a b) (N,) and what `shapes` says of them.

    a / b is MOST_RATIO at most.
    """
    along, across = shape.T
    stretch = np.minimum(np.hypot(along, across), math.log(MOST_RATIO))
    axes = radius * np.exp(0.5 * stretch), radius * np.exp(-0.5 * stretch)
    return np.column_stack([centre, *axes, 0.5 * np.arctan2(across, along)])


def mapped(values: Array, forward: Array, shift: Array) -> Array:
    """Ellipses (N, 5) as affine maps of the plane, p to forward p + shift, leave them.

    forward: (2, 2) or (N, 2, 2); shift: (2,) or (N, 2). theta is not wrapped.
    """
    x, y, a, b, theta = values.T
    c, s = np.cos(theta), np.sin(theta)
    axes = np.stack([np.stack([c * a, -s * b], -1), np.stack([s * a, c * b], -1)], -2)
    u, stretch, _ = np.linalg.svd(forward @ axes)
    centre = (forward @ np.stack([x, y], -1)[..., None])[..., 0] + shift
    return np.column_stack([centre, stretch, np.arctan2(u[:, 1, 0], u[:, 0, 0])])


def load_detections(path: str | Path) -> Ellipses:
    """Read a detections file (JSON); raises InputError naming file, entry and field."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path}: too large for detections; give at most {MOST_ELLIPSES}")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON; give what `trn detect --json` prints") from error
    rows = document.get("ellipses") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise InputError(f"{path}: ellipses: missing; give what `trn detect --json` prints")
    if len(rows) > MOST_ELLIPSES:
        raise InputError(f"{path}: ellipses: {len(rows)} are too many; give {MOST_ELLIPSES}")
    values = [[_field(row, name, k, path) for name in FIELDS] for k, row in enumerate(rows)]
    score = [_field({"score": 1.0, **row}, "score", k, path) for k, row in enumerate(rows)]
    return Ellipses.of(np.array(values).reshape(-1, 5), np.array(score))


def _field(row: Any, name: str, index: int, path: Path) -> float:
    """One number of one entry."""
    value = row.get(name) if isinstance(row, dict) else None
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    low = 1e-6 if name in ("a", "b") else -MOST_PX
    if not usable or not low <= value <= MOST_PX:  # type: ignore[operator]
        raise InputError(
            f"{path}: ellipses[{index}].{name}: {quoted(value)} is no number from {low:g} to "
            f"{MOST_PX:g}; correct or drop the entry"
        )
    return float(value)  # type: ignore[arg-type]
