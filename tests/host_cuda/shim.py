"""Builds a CUDA kernel for the CPU with g++, and runs it: a test tool (see cuda_on_host.h)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FLAGS = (
    "-std=c++17", "-O1", "-Wall", "-Wno-unknown-pragmas", "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",  # its longjmp takes another fiber's stack for a broken one
    "-fsanitize=address", "-fsanitize-sections=block_shared",
)  # fmt: skip
COUNTING_FLAGS = ("-std=c++17", "-O2", "-w", "-U_FORTIFY_SOURCE")
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
"""Kernels allocate nothing, and a search for leaks takes a fifth of a launch."""
LONGEST_S = 120
"""A kernel that runs longer is taken for one that never ends."""


class KernelFault(Exception):
    """A kernel did what it must not; the text is what the shim or AddressSanitizer says."""


def why_not() -> str:
    """Why kernels cannot be executed on this machine; empty where they can."""
    return "" if shutil.which("g++") else "no g++: kernels are not executed on the CPU"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="trn-host-cuda-")


@dataclass(frozen=True)
class HostKernel:
    """A kernel built for the CPU.

    program: of all kernels of its source. results: one figure a parameter, 1 for a pointer to what
    the kernel may write to.
    """

    program: Path
    name: str
    results: str

    def launch(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        shared_bytes: int = 0,
        order: int = 0,
    ) -> str:
        """Run it; arrays that the kernel may write to are changed in place.

        arguments: arrays, and NumPy scalars of the width that the kernel declares. order: of
        threads and blocks; 0 as they come, 1 backwards, beyond that shuffled. Returns what it says
        on standard error. Raises KernelFault.
        """
        head = [*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3], shared_bytes, order]
        given = [np.array(head, dtype=np.int32).tobytes()]
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                given.append(np.int64(argument.nbytes).tobytes())
            given.append(argument.tobytes())
        try:
            done = subprocess.run(
                [str(self.program), self.name],
                input=b"".join(given),
                capture_output=True,
                timeout=LONGEST_S,
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired as error:
            raise KernelFault(f"no end after {LONGEST_S} s") from error
        if done.returncode != 0:
            raise KernelFault(done.stderr.decode(errors="replace") or f"exit {done.returncode}")
        self._take_back(arguments, done.stdout)
        return done.stderr.decode(errors="replace")

    def _take_back(self, arguments: tuple[Any, ...], output: bytes) -> None:
        at = 0
        for argument, is_result in zip(arguments, self.results):
            if is_result == "1":
                argument[...] = np.frombuffer(output, argument.dtype, argument.size, at).reshape(
                    argument.shape
                )
                at += argument.nbytes
        assert at == len(output)


def build(source: str, name: str, counting: bool = False) -> HostKernel:
    """Build the kernel `name` of a source. Raises KernelFault where g++ does not take the source.

    counting: it counts its arithmetic (counting.h) instead of having its accesses checked.
    """
    return HostKernel(_built(source, counting), name, _results_of(source, name))


@cache
def _built(source: str, counting: bool) -> Path:
    """The program of all kernels of a source."""
    kernels = re.findall(r"__global__\s+void\s+(?:__launch_bounds__\(.*\n\s*)?(\w+)\(", source)
    program = Path(_folder().name) / f"{kernels[0]}-{abs(hash((source, counting))):x}"
    counter = f'#include "{HERE / "counting.h"}"\n' if counting else ""
    cooperative = "true" if "__syncthreads" in source else "false"
    # What CUDA lays out at launch the shim allocates, exactly as large as the launch says.
    on_host = re.sub(
        r"extern __shared__ (\w+) (\w+)\[\];", r"\1 *\2 = (\1 *)host_cuda::dynamic_shared;", source
    )
    served = "".join(
        f'if (!strcmp(named[1], "{kernel}")) '
        f"return host_cuda::serve<{kernel}>({kernel}, {cooperative});\n"
        for kernel in kernels
    )
    text = (
        f'#include "{HERE / "cuda_on_host.h"}"\n{counter}#line 1 "kernels.cu"\n{on_host}\n'
        f"int main(int, char **named) {{ {served} return host_cuda::BAD_INPUT; }}\n"
    )
    program.with_suffix(".cpp").write_text(text)
    flags = COUNTING_FLAGS if counting else FLAGS
    done = subprocess.run(
        ["g++", *flags, str(program.with_suffix(".cpp")), "-o", str(program)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise KernelFault(f"g++ ended with {done.returncode}: {done.stderr}{done.stdout}")
    return program


def _results_of(source: str, name: str) -> str:
    """One figure a parameter of a kernel: 1 for a pointer to what is not const."""
    found = re.search(rf"\b{name}\(([^)]*)\)\s*{{", source)
    assert found is not None
    parameters = found.group(1).split(",")
    return "".join(str(int("*" in p and "const" not in p)) for p in parameters)
