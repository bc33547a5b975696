"""Whether an image can show terrain at all, before any work is spent on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WORKING_SIDE_PX = 256
BLACK_SHARE = 0.97
SATURATED_SHARE = 0.6
NOISE_CORRELATION = 0.25
STRIPE_SHARE = 0.9


def image_defect(image: NDArray[np.generic]) -> str:
    """What is wrong with an image in plain words, or "" for nothing seen.

    image: (height, width), 8- or 16-bit or float (full scale 1). Looks for: black, saturated,
    without contrast, noise without structure, stripes (texture along one direction only).
    """
    if image.dtype.kind == "f":
        full_scale = 1.0
        if not np.isfinite(image).all():
            return "the image holds values that are not finite"
    else:
        full_scale = float(np.iinfo(image.dtype.str).max)
    values = np.asarray(image, dtype=np.float32) / np.float32(full_scale)
    if float((values <= 0.012).mean()) > BLACK_SHARE:
        return "the image is black: no sunlit terrain in view, or the camera gave no signal"
    if float((values >= 0.992).mean()) > SATURATED_SHARE:
        return "the image is saturated: over-exposed"
    if float(values.std()) < 0.002:
        return "the image has no contrast"
    fine = values - values.mean()
    neighbour = float((fine[:, 1:] * fine[:, :-1]).mean() + (fine[1:] * fine[:-1]).mean()) / 2
    if neighbour < NOISE_CORRELATION * float((fine * fine).mean()):
        return "the image is noise: neighbouring pixels do not resemble one another"
    scale = max(1.0, max(values.shape) / WORKING_SIDE_PX)
    size = (max(8, round(values.shape[1] / scale)), max(8, round(values.shape[0] / scale)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    # A little, so that noise does not hide the direction; more would smooth away narrow stripes.
    small = cv2.GaussianBlur(small, (0, 0), 0.7)
    gx = cv2.Scharr(small, cv2.CV_32F, 1, 0)[1:-1, 1:-1]
    gy = cv2.Scharr(small, cv2.CV_32F, 0, 1)[1:-1, 1:-1]
    xx, yy, xy = float((gx * gx).mean()), float((gy * gy).mean()), float((gx * gy).mean())
    coherence = np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-30)
    if coherence > STRIPE_SHARE:
        return "the image shows stripes: texture along one direction only"
    return ""
