"""Image to crater ellipses, each with a covariance."""

from trn.detect.ellipses import Ellipses, load_detections

__all__ = ["Ellipses", "load_detections"]
