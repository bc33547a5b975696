"""Pictures of one frame: as seen, as predicted from the map, and with its landmarks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.channels import Trace

Picture = NDArray[np.uint8]

SIDE_PX = 720
RESIDUAL_SCALE = 8.0
AGREE_BGR = (120, 220, 90)
DISAGREE_BGR = (70, 90, 255)
UNKNOWN_BGR = (110, 60, 20)

CAPTION = (
    f"Residuals are drawn {RESIDUAL_SCALE:g} times enlarged: green where a landmark agrees with "
    "the fix, red where it does not. Blue in the predicted view: not predictable."
)


def frame_pictures(frame: NDArray[Any], trace: Trace | None) -> list[tuple[str, Picture]]:
    """Captions and pictures, square and in colour (BGR), of a frame, (height, width) 8-bit.

    Without a trace there is the frame alone.
    """
    pictures = [("Frame", _frame_picture(frame))]
    if trace is not None:
        pictures.append(("Predicted view, from the map", _predicted_picture(trace)))
        pictures.append(("Landmarks matched", _match_picture(frame, trace)))
    return pictures


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return data.tobytes()


def jpeg(picture: Picture) -> bytes:
    """A picture as a JPEG file."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return data.tobytes()


def _frame_picture(frame: NDArray[Any]) -> Picture:
    grey = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _predicted_picture(trace: Trace) -> Picture:
    known = trace.predicted[trace.mask]
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    grey = np.clip((trace.predicted - low) / max(high - low, 1e-9), 0, 1)
    grey = (255 * np.nan_to_num(grey)).astype(np.uint8)
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    colour[~trace.mask] = UNKNOWN_BGR
    return np.asarray(
        cv2.resize(colour, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST), dtype=np.uint8
    )


def _match_picture(frame: NDArray[Any], trace: Trace) -> Picture:
    picture = _frame_picture(frame)
    scale = np.array([SIDE_PX / frame.shape[1], SIDE_PX / frame.shape[0]])
    for place, found, agrees in zip(
        trace.predicted_px, trace.measured_px, trace.inlier, strict=True
    ):
        start = np.round((found + 0.5) * scale).astype(int)
        end = np.round((found + 0.5 + RESIDUAL_SCALE * (found - place)) * scale).astype(int)
        colour = AGREE_BGR if agrees else DISAGREE_BGR
        cv2.line(picture, start.tolist(), end.tolist(), colour, 1, cv2.LINE_AA)
        cv2.circle(picture, start.tolist(), 2, colour, -1, cv2.LINE_AA)
    return picture
