"""Which catalogue craters the ellipses of an image are, with a prior pose and without."""

from trn.identify.index import CraterIndex
from trn.identify.with_prior import CraterMatches, identify_with_prior

__all__ = ["CraterIndex", "CraterMatches", "identify_with_prior"]
