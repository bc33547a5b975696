"""Whether the CUDA backend works here, found out by working it; and what to do where it does not.

A successful import of CuPy proves nothing, nor does `cupy.is_available()`: CuPy imports without a
driver, and a device is counted that its kernels are not compiled for.
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trn.backend.cpu import CpuBackend
from trn.backend.cuda import CudaBackend
from trn.backend.protocol import Searches

LEAST_FREE_BYTES = 512 << 20
"""Device memory that frames and map surfaces of a descent take, with some to spare."""

OLDEST_CUDA = 12
OLDEST_OF_CUDA_13 = 75
"""Compute capability of Turing, as CuPy writes it: CUDA 13 makes no code for older GPUs."""

JETSON_FILE = Path("/etc/nv_tegra_release")


@dataclass(frozen=True)
class CudaFinding:
    """Whether the CUDA backend is usable, why not, what to do about it, and on what it would run.

    advice: one command or sentence; empty where there is nothing to do, as on a machine without a
    GPU.
    """

    usable: bool
    reason: str = ""
    advice: str = ""
    device: str = ""


class _Unusable(Exception):
    """Carries reason and advice out of the checks."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.finding = CudaFinding(False, reason, advice)


def usable() -> tuple[bool, str]:
    """Whether the CUDA backend works here, and in plain words why not. Found out once a process."""
    finding = examine_cuda()
    return finding.usable, finding.reason


@lru_cache(maxsize=1)
def examine_cuda() -> CudaFinding:
    """Import CuPy, count devices, compile, launch, compare, run a small FFT; never raises."""
    try:
        cupy = _import_cupy()
        device = _find_device(cupy)
        _work(cupy)
    except _Unusable as unusable:
        return unusable.finding
    except Exception as error:  # whatever a broken installation comes up with
        return CudaFinding(
            False, f"CUDA cannot be looked into: {type(error).__name__}: {_line(error)}",
            f"bring CuPy and its CUDA parts in line: {_extra(driver_cuda())}",
        )  # fmt: skip
    return CudaFinding(True, device=device)


def load_cuda_backend() -> CudaBackend:
    """The CUDA backend on the current device; ask `usable` first."""
    return CudaBackend(importlib.import_module("cupy"))


def driver_cuda() -> int:
    """Highest CUDA version that the NVIDIA driver here supports, as in 12060 for 12.6; 0 without.

    Asks the driver itself (cuDriverGetVersion), so that it needs no CuPy.
    """
    version = ctypes.c_int(0)
    try:
        status = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return version.value if status == 0 else 0


def _extra(driver: int) -> str:
    """The command that installs the CuPy for a driver."""
    if JETSON_FILE.exists():
        return "pip install 'lunar-trn[jetson]'"
    return f"pip install 'lunar-trn[{'gpu' if driver // 1000 > OLDEST_CUDA else 'gpu-cuda12'}]'"


def _install(driver: int) -> str:
    """What to do about CuPy on a machine with a driver; empty without one."""
    if driver == 0:
        return ""
    if driver // 1000 < OLDEST_CUDA:
        return f"update the NVIDIA driver: it goes up to CUDA {_words(driver)}, CUDA 12 is needed"
    return _extra(driver)


def _import_cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            reason = f"CuPy does not load: {_line(error)}"
            raise _Unusable(reason, _extra(driver_cuda())) from error
        driver = driver_cuda()
        reason = "CuPy is not installed" if driver else "there is no NVIDIA driver, nor CuPy"
        raise _Unusable(reason, _install(driver)) from error
    except Exception as error:
        # Libraries of another CUDA, or two CuPy packages over each other.
        raise _Unusable(
            f"CuPy does not load: {_line(error)}",
            f"keep one CuPy: pip uninstall the cupy packages there are, {_extra(driver_cuda())}",
        ) from error


def _find_device(cupy: Any) -> str:
    """The device's name and memory, where there is one that this CuPy can use."""
    runtime = cupy.cuda.runtime
    try:
        built, driver = int(runtime.runtimeGetVersion()), int(runtime.driverGetVersion())
    except Exception as error:
        raise _Unusable(
            f"CuPy knows no CUDA version: {_line(error)}", _extra(driver_cuda())
        ) from error
    if driver == 0:
        raise _Unusable(
            "CuPy is installed, but there is no NVIDIA driver",
            "install the NVIDIA driver; in a container, start it with --gpus all (Jetson: "
            "--runtime nvidia)",
        )
    if built // 1000 > driver // 1000:
        package = f"cupy-cuda{built // 1000}x"
        raise _Unusable(
            f"CuPy is built for CUDA {built // 1000}, the driver goes up to CUDA {_words(driver)}",
            f"pip uninstall -y {package} && {_install(driver)}"
            if driver // 1000 >= OLDEST_CUDA
            else _install(driver),
        )
    try:
        count = int(runtime.getDeviceCount())
    except Exception as error:
        raise _Unusable(
            f"the NVIDIA driver shows no GPU: {_line(error)}",
            "check nvidia-smi and the variable CUDA_VISIBLE_DEVICES",
        ) from error
    if count == 0:
        raise _Unusable(
            "the NVIDIA driver shows no GPU",
            "check nvidia-smi and the variable CUDA_VISIBLE_DEVICES",
        )
    try:
        name = runtime.getDeviceProperties(int(runtime.getDevice()))["name"].decode()
        capability = str(cupy.cuda.Device().compute_capability)
        free, total = runtime.memGetInfo()
    except Exception as error:
        raise _Unusable(f"the GPU does not answer: {_line(error)}", "check nvidia-smi") from error
    if built // 1000 > OLDEST_CUDA and int(capability) < OLDEST_OF_CUDA_13:
        raise _Unusable(
            f"CuPy is built for CUDA {built // 1000}, which has no code for {name} (compute "
            f"capability {capability[:-1]}.{capability[-1]})",
            f"pip uninstall -y cupy-cuda{built // 1000}x && pip install 'lunar-trn[gpu-cuda12]'",
        )
    if free < LEAST_FREE_BYTES:
        raise _Unusable(
            f"too little memory on {name}: {free >> 20} of {total >> 20} MiB are free, "
            f"{LEAST_FREE_BYTES >> 20} are needed",
            "end what else runs on the GPU (nvidia-smi lists it)",
        )
    return f"{name}, {total >> 20} MiB"


def _work(cupy: Any) -> None:
    """Search a known template and transform a known signal; compare with the CPU."""
    try:
        gpu = CudaBackend(cupy, strict=True)
        right = _finds_the_template(gpu) and _transforms(cupy)
    except MemoryError as error:
        raise _Unusable(
            f"too little memory on the GPU: {_line(error)}",
            "end what else runs on the GPU (nvidia-smi lists it)",
        ) from error
    except Exception as error:  # CuPy's CompileException is a bare Exception
        compiling = type(error).__name__ == "CompileException"
        raise _Unusable(
            f"{'the kernels do not compile' if compiling else 'the GPU fails'}: {_line(error)}",
            f"bring CuPy and its CUDA parts in line: {_extra(_driver_of(cupy))}",
        ) from error
    if not right:
        raise _Unusable(
            "the GPU computes other results than the CPU",
            "update the NVIDIA driver; do not trust this GPU until `trn doctor` does",
        )


def _finds_the_template(gpu: CudaBackend) -> bool:
    random = np.random.default_rng(0)
    image = random.normal(size=(64, 64)).astype(np.float32)
    one = np.array([1], dtype=np.int32)
    searches = Searches(11, 25 * one, 27 * one, 10 * one, 12 * one, 40 * one, 38 * one)
    handle = gpu.load_image(image)
    found = gpu.correlate(handle, handle, searches)
    expected = CpuBackend().correlate(image, image, searches)
    return bool(
        np.allclose(found.x, expected.x, atol=1e-3)
        and np.allclose(found.y, expected.y, atol=1e-3)
        and np.allclose(found.score, expected.score, atol=1e-4)
    )


def _transforms(cupy: Any) -> bool:
    signal = np.cos(0.3 * np.arange(64.0))
    spectrum = cupy.asnumpy(cupy.fft.fft(cupy.asarray(signal)))
    return bool(np.allclose(spectrum, np.fft.fft(signal), atol=1e-9))


def _driver_of(cupy: Any) -> int:
    return int(cupy.cuda.runtime.driverGetVersion())


def _words(version: int) -> str:
    """12060 as 12.6."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _line(error: BaseException) -> str:
    """The first line of an error, short enough for one line of output."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
