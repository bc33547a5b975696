"""LunarMap, building it, and cutting it to a view."""

from trn.maps.build import build_map, map_info
from trn.maps.lunar_map import LunarMap

__all__ = ["LunarMap", "build_map", "map_info"]
