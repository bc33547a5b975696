"""Which backend runs: asked for by name, by TRN_BACKEND, or the best one usable."""

from __future__ import annotations

import logging
import os
from functools import lru_cache

from trn.backend.cpu import CpuBackend
from trn.backend.protocol import Backend
from trn.errors import InputError, WorkError

logger = logging.getLogger(__name__)

NAMES = ("auto", "cpu", "cuda")
CUDA_MISSING = "this version of trn has no CUDA backend yet"


def select_backend(name: str = "auto") -> Backend:
    """The backend of a name; `auto` means TRN_BACKEND where set, else the best one usable.

    Raises InputError for an unknown name and WorkError for `cuda` where it is not usable.
    """
    wanted = name
    if name == "auto":
        wanted = os.environ.get("TRN_BACKEND", "auto") or "auto"
    if wanted not in NAMES:
        source = "backend" if name != "auto" else "TRN_BACKEND"
        raise InputError(f"{source}: unknown backend {wanted!r}; use one of {', '.join(NAMES)}")
    if wanted == "cuda":
        raise WorkError(f"backend cuda is not usable: {CUDA_MISSING}; use --backend cpu")
    if wanted == "auto":
        _say_fallback()
    return CpuBackend()


@lru_cache(maxsize=1)
def _say_fallback() -> None:
    logger.info("backend auto: running on the CPU (%s)", CUDA_MISSING)


def describe_backends() -> list[dict[str, object]]:
    """Every backend with name, usable, reason and device, for `trn doctor`."""
    return [
        {"name": "cpu", "usable": True, "reason": "", "device": f"{os.cpu_count() or 1} cores"},
        {"name": "cuda", "usable": False, "reason": CUDA_MISSING, "device": ""},
    ]
