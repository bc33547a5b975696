"""Which ellipses take part: finite ones, the largest where there are very many, none twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trn.detect import Ellipses

MOST_ELLIPSES = 800
"""As many are judged in one image; the odds of more are clear long before."""
REPEATED = 0.1
"""Part of the semi-minor axis within which two ellipses are one."""


def usable_ellipses(seen: Ellipses) -> NDArray[np.int64]:
    """Indices of the ellipses that take part, ascending."""
    values = seen.values
    kept = np.flatnonzero(np.isfinite(values).all(1) & (values[:, 3] > 0.0))
    size = values[kept, 2] * values[kept, 3]
    kept = np.sort(kept[np.argsort(-size, kind="stable")[:MOST_ELLIPSES]])
    held = values[kept]
    apart = np.abs(held[:, None, :4] - held[None, :, :4]).max(-1)
    repeated = np.tril(apart < REPEATED * held[:, None, 3], -1).any(1)
    return np.asarray(kept[~repeated], dtype=np.int64)
