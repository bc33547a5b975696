"""The sources of the CUDA kernels, each as one text that a compiler takes without any header."""

from __future__ import annotations

import re

from trn.resources import resource_path

KERNELS = ("correlate", "ray_cast", "shade", "shadow", "warp")

COMPILE_OPTIONS = ("--std=c++17", "-ftz=true")
"""CuPy flushes denormals whether asked or not; so does every other compiler of these sources."""


def kernel_source(name: str) -> str:
    """The source of one kernel with what it includes of kernels/cuda/ put in its place.

    A compiler's disk cache then sees all of the text that the machine code comes from. Raises
    InputError for a kernel that is not there.
    """
    text = resource_path("kernels", f"cuda/{name}.cu").read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        return resource_path("kernels", f"cuda/{match.group(1)}").read_text(encoding="utf-8")

    return re.sub(r'^#include "([\w.]+)"$', included, text, flags=re.MULTILINE)
