"""What the camera should see from a pose."""

from trn.view.footprint import Footprint, footprint_of
from trn.view.predict import Prediction, View, predict
from trn.view.terrain import LitTerrain, TerrainCache

__all__ = [
    "Footprint",
    "LitTerrain",
    "Prediction",
    "TerrainCache",
    "View",
    "footprint_of",
    "predict",
]
