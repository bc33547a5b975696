"""How a long run says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], object]
"""Called with the name of the part in the making, how much of it is done, and all of it."""
