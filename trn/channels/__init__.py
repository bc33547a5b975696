"""What one frame tells through each channel, landmarks and craters, each able to stand alone."""

from trn.channels.frame import Disagreement, FrameRun, Refused, Sighting, Trace
from trn.channels.landmarks import LandmarkChannel

__all__ = ["Disagreement", "FrameRun", "LandmarkChannel", "Refused", "Sighting", "Trace"]
