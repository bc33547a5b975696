"""Which catalogue craters the ellipses of an image are, with a prior pose and without."""

from trn.identify.identification import Identification, identify
from trn.identify.index import CraterIndex
from trn.identify.with_prior import CraterMatches, identify_with_prior

__all__ = ["CraterIndex", "CraterMatches", "Identification", "identify", "identify_with_prior"]
