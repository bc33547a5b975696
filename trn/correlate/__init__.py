"""Image and predicted view to landmark matches, each with a covariance."""

from trn.correlate.landmarks import Landmarks, choose_landmarks
from trn.correlate.match import LandmarkMatches, match_landmarks

__all__ = ["LandmarkMatches", "Landmarks", "choose_landmarks", "match_landmarks"]
