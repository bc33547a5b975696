"""Whether an image can show terrain at all, before any work is spent on it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trn.backend.protocol import Backend

BLACK_SHARE = 0.97
SATURATED_SHARE = 0.6
NOISE_CORRELATION = 0.25
STRIPE_SHARE = 0.9


def full_scale_of(image: NDArray[np.generic]) -> float:
    """The brightest value that an image of this type can have; 1 for floats."""
    return 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype.str).max)


def image_defect(backend: Backend, image: Any, full_scale: float) -> str:
    """What is wrong with an image in plain words, or "" for nothing seen.

    image: the backend's handle; full_scale: the brightest value that it can have. Looks for: values
    that are not finite, black, saturated, without contrast, noise without structure, stripes
    (texture along one direction only).
    """
    seen = backend.statistics(image, 0.012 * full_scale, 0.992 * full_scale)
    if not math.isfinite(seen.variance):
        return "the image holds values that are not finite"
    if seen.black > BLACK_SHARE:
        return "the image is black: no sunlit terrain in view, or the camera gave no signal"
    if seen.saturated > SATURATED_SHARE:
        return "the image is saturated: over-exposed"
    if seen.variance < (0.002 * full_scale) ** 2:
        return "the image has no contrast"
    if seen.neighbour < NOISE_CORRELATION * seen.variance:
        return "the image is noise: neighbouring pixels do not resemble one another"
    xx, yy, xy = seen.slopes
    coherence = math.hypot(xx - yy, 2.0 * xy) / max(xx + yy, 1e-30 * full_scale**2)
    if coherence > STRIPE_SHARE:
        return "the image shows stripes: texture along one direction only"
    return ""
