"""NVRTC from its pip wheel: compiles a kernel for an architecture, without driver or toolkit.

Run as `python -m tests.host_cuda.nvrtc > kernels/cuda/resources.toml` it prints the table of
registers and spills that tests/test_nvrtc.py holds the kernels to.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import re
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata

from trn.backend.cuda_source import COMPILE_OPTIONS, KERNELS, kernel_source

ARCHITECTURES = (75, 87, 90, 110, 120)
"""Turing, Orin, Hopper, Thor and Blackwell."""
DISTRIBUTIONS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
"""Of now, and of JetPack 6."""


class CompileError(Exception):
    """A kernel does not compile; the text is the compiler's log."""


@dataclass(frozen=True)
class Resources:
    """What one kernel takes on one architecture, as ptxas reports it."""

    registers: int
    spill_bytes: int
    stack_bytes: int
    shared_bytes: int


class Nvrtc:
    """One NVRTC library, of the pip package `distribution`.

    Raises ModuleNotFoundError where the package is not installed.
    """

    def __init__(self, distribution: str) -> None:
        try:
            files = metadata.files(distribution) or []
        except metadata.PackageNotFoundError as error:
            raise ModuleNotFoundError(f"{distribution} is not installed") from error
        # Wheels name the library after its major version: libnvrtc.so.12, libnvrtc.so.13.
        library = next(f for f in files if re.fullmatch(r"libnvrtc\.so\.\d+", f.name))
        # A cached result has no log, and the log has the registers.
        os.environ["CUDA_CACHE_DISABLE"] = "1"
        self._library = ctypes.CDLL(str(library.locate()))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        self._logs: dict[tuple[str, int], str] = {}
        self._begun: dict[tuple[str, int], Future[str]] = {}

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise CompileError(f"{name}: {self._library.nvrtcGetErrorString(status).decode()}")

    @functools.cached_property
    def version(self) -> str:
        """Major and minor version, as in `13.5`."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    @functools.cached_property
    def architectures(self) -> tuple[int, ...]:
        """The architectures it knows, as in 75 for sm_75."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", known)
        return tuple(known)

    def compile(self, source: str, architecture: int) -> tuple[bytes, str]:
        """Machine code (CUBIN) and log of a source for one architecture. Raises CompileError."""
        options = [
            f"--gpu-architecture=sm_{architecture}".encode(),
            b"--ptxas-options=-v",
            *(option.encode() for option in COMPILE_OPTIONS),
        ]
        program = ctypes.c_void_p()
        name = b"kernel.cu"
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.encode(), name, 0, None, None
        )
        try:
            given = (ctypes.c_char_p * len(options))(*options)
            status = self._library.nvrtcCompileProgram(program, len(options), given)
            log = self._text(program, "nvrtcGetProgramLog").rstrip(b"\0").decode()
            if status != 0:
                raise CompileError(log)
            return self._text(program, "nvrtcGetCUBIN"), log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, name: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(name + "Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(name, program, text)
        return text.raw

    def _log(self, file: str, architecture: int) -> str:
        """What a compilation says: the numbers of all kernels of a file."""
        if (file, architecture) not in self._logs:
            _, self._logs[file, architecture] = self.compile(kernel_source(file), architecture)
        return self._logs[file, architecture]

    def begin(self, pool: Executor) -> None:
        """Begin to compile all files of kernels/cuda/, one after the other."""
        known = [each for each in ARCHITECTURES if each in self.architectures]
        for each in itertools.product(sorted(set(KERNELS.values())), known):
            self._begun[each] = pool.submit(self._log, *each)

    def finish(self) -> None:
        """Compile what the pool has not come to, the last first. Raises CompileError."""
        for each, begun in reversed(self._begun.items()):
            if begun.cancel():
                self._log(*each)
        for begun in self._begun.values():
            if not begun.cancelled():
                begun.result()

    def resources(self, kernel: str, architecture: int) -> Resources:
        """What a kernel of kernels/cuda/ takes. Raises CompileError."""
        log = self._log(KERNELS[kernel], architecture)
        # Device functions that were not inlined have properties of their own: the entry's count.
        entry = log.split(f"Compiling entry function '{kernel}'")[1]
        entry = entry.split("Compiling entry function")[0]

        def number(pattern: str) -> int:
            found = re.search(pattern, entry)
            return int(found.group(1)) if found else 0

        return Resources(
            number(r"Used (\d+) registers"),
            number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
            number(r"(\d+) bytes stack frame"),
            number(r"(\d+) bytes smem"),
        )


def main() -> None:
    """Print the table."""
    compiler = Nvrtc(DISTRIBUTIONS[0])
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1)) as pool:
        compiler.begin(pool)
        compiler.finish()
    print("# Registers and spills of every kernel, as ptxas reports them; made by")
    print("# python -m tests.host_cuda.nvrtc > kernels/cuda/resources.toml\n")
    print(f'nvrtc = "{compiler.version}"')
    for kernel in KERNELS:
        for architecture in ARCHITECTURES:
            taken = compiler.resources(kernel, architecture)
            print(f"\n[{kernel}.sm_{architecture}]")
            for name, value in vars(taken).items():
                print(f"{name} = {value}")


if __name__ == "__main__":
    main()
