"""What the scripts that print differences between the back ends have in common."""

from __future__ import annotations

import argparse

from tests.host_cuda import shim
from tests.host_cuda.fake_cupy import FakeCupy
from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend

FUSED = ("-O2", "-mfma", "-ffp-contract=fast")


def backends(description: str) -> tuple[CudaBackend, CpuBackend]:
    """Both back ends; with --fused on the command line kernels have fused multiply-adds."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--fused", action="store_true")
    if parser.parse_args().fused:
        shim.FLAGS = (*shim.FLAGS, *FUSED)  # the last of two that disagree counts
    return CudaBackend(FakeCupy(), strict=True), CpuBackend()
