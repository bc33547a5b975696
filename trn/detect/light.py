"""Where in the image the light comes from, read off its craters."""

from __future__ import annotations

import numpy as np

from trn.backend.protocol import CraterPeaks

_POWER = 12.0


def sun_from_peaks(peaks: CraterPeaks) -> float:
    """Angle that the light comes from, radians from +x towards +y; 0 where nothing tells.

    peaks: found without a Sun, each under the light that fits it best. Hills and hollows say the
    opposite of each other; the power lets those speak that look most like a bowl with a sharp rim.
    """
    weight = peaks.score**_POWER
    return float(np.arctan2(weight @ np.sin(peaks.sun_px), weight @ np.cos(peaks.sun_px)))
