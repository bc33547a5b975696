"""Which backend runs: asked for by name, by TRN_BACKEND, or the best one usable."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from functools import lru_cache

from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.cuda_device import CudaDevice
from trn.backend.cuda_usable import examine_cuda, load_cuda_backend
from trn.backend.fpga import FpgaBackend
from trn.backend.fpga_simulation import missing_tools, search_all
from trn.backend.protocol import Backend
from trn.errors import InputError, WorkError

logger = logging.getLogger(__name__)

FPGA_TOOLS = "apt install verilator g++ make"
NAMES = ("auto", "cpu", "cuda", "fpga-model", "fpga-sim")


def select_backend(name: str = "auto") -> Backend:
    """The backend of a name; `auto` means TRN_BACKEND where set, else the best one usable.

    `fpga-model` and `fpga-sim` correlate as the FPGA core does and are never chosen by `auto`.
    Raises InputError for an unknown name, WorkError for `cuda` and `fpga-sim` where not usable.
    """
    wanted = name
    if name == "auto":
        wanted = os.environ.get("TRN_BACKEND", "auto") or "auto"
    if wanted not in NAMES:
        source = "backend" if name != "auto" else "TRN_BACKEND"
        raise InputError(f"{source}: unknown backend {wanted!r}; use one of {', '.join(NAMES)}")
    if wanted == "cpu":
        return CpuBackend()
    if wanted == "fpga-model":
        return FpgaBackend()
    if wanted == "fpga-sim":
        reason = _why_no_fpga_simulation()
        if reason:
            raise WorkError(
                f"backend fpga-sim is not usable: {reason}; "
                f"{FPGA_TOOLS}, or use --backend fpga-model"
            )
        return FpgaBackend("fpga-sim", search_all)
    finding = examine_cuda()
    if wanted == "cuda" or finding.usable:
        return _cuda_backend()
    _say_fallback(finding.reason)
    return CpuBackend()


def cuda_device() -> CudaDevice:
    """The GPU, for what runs there beside a backend's operations; raises WorkError without one."""
    return _cuda_backend().device


def _cuda_backend() -> CudaBackend:
    finding = examine_cuda()
    if not finding.usable:
        remedy = finding.advice or "use --backend cpu"
        raise WorkError(f"backend cuda is not usable: {finding.reason}; {remedy}")
    return load_cuda_backend()


@lru_cache(maxsize=1)
def _say_fallback(reason: str) -> None:
    logger.info("backend auto: running on the CPU (%s)", reason)


def describe_backends() -> list[dict[str, object]]:
    """Every backend with name, usable, reason, advice and device, for `trn doctor`."""
    return [describe_cpu(), {"name": "cuda", **asdict(examine_cuda())}]


def describe_cpu() -> dict[str, object]:
    """The CPU's part of `describe_backends`, without a look at any GPU."""
    cores = f"{os.cpu_count() or 1} cores"
    return {"name": "cpu", "usable": True, "reason": "", "advice": "", "device": cores}


def describe_fpga() -> list[dict[str, object]]:
    """The FPGA core's model and its simulation, as `describe_backends` has them."""
    reason = _why_no_fpga_simulation()
    return [
        {**describe_cpu(), "name": "fpga-model"},
        {
            **describe_cpu(),
            "name": "fpga-sim",
            "usable": not reason,
            "reason": reason,
            "advice": FPGA_TOOLS if reason else "",
        },
    ]


def _why_no_fpga_simulation() -> str:
    missing = missing_tools()
    return f"{', '.join(missing)} not found" if missing else ""
