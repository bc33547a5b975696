"""Terrain-relative navigation for lunar landers.

The public classes are loaded when first asked for, so that `import trn` and `trn --help` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trn.camera import Camera
    from trn.fix import PositionFix
    from trn.localizer import Localizer
    from trn.maps.lunar_map import LunarMap
    from trn.prior import Prior

__version__ = "0.1.0"

__all__ = ["LunarMap", "Camera", "Prior", "Localizer", "PositionFix", "__version__"]

_HOMES = {
    "LunarMap": "trn.maps.lunar_map",
    "Camera": "trn.camera",
    "Prior": "trn.prior",
    "Localizer": "trn.localizer",
    "PositionFix": "trn.fix",
}


def __getattr__(name: str) -> Any:
    """Import a public class on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
