"""The only seam to hardware: one small protocol, and the backends that keep it."""

from trn.backend.protocol import Backend, CraterPeaks, Hits, Peaks, Searches, Surface
from trn.backend.select import describe_backends, select_backend

__all__ = [
    "Backend",
    "CraterPeaks",
    "Hits",
    "Peaks",
    "Searches",
    "Surface",
    "describe_backends",
    "select_backend",
]
