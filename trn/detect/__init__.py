"""Image to crater ellipses, each with a covariance."""

from trn.detect.ellipses import Ellipses, load_detections
from trn.detect.filter import detect_craters

__all__ = ["Ellipses", "detect_craters", "load_detections"]
