"""Constants of the Moon, in SI units."""

REFERENCE_RADIUS_M = 1_737_400.0
"""Radius of the reference sphere (IAU_2015:30100, LOLA and LROC products): heights are above it."""

GM_M3_PER_S2 = 4.902_800_118e12
"""Gravitational parameter of the Moon (GRAIL GL0660B, Konopliv et al. 2013)."""
