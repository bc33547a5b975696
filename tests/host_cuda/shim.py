"""Builds a CUDA kernel for the CPU with g++, and runs it: a test tool (see cuda_on_host.h)."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FLAGS = (
    "-std=c++17", "-O1", "-Wall", "-Wno-unknown-pragmas", "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",  # its checks would hide calls from AddressSanitizer
    "-fsanitize=address", "-fsanitize-sections=block_shared",
)  # fmt: skip
COUNTING_FLAGS = ("-std=c++17", "-O2", "-w")
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
"""Kernels allocate nothing, and a search for leaks would take longer than most launches."""
LONGEST_S = 120
"""A kernel that runs longer is taken for one that never ends."""


class KernelFault(Exception):
    """A kernel did what it must not; the text is what the shim or AddressSanitizer says."""


def why_not() -> str:
    """Why kernels cannot be executed on this machine; empty where they can."""
    return "" if shutil.which("g++") else "no g++: kernels are not executed on the CPU"


_one_at_a_time = Lock()
"""The launches of a program go through one file."""
_until_the_end = ExitStack()
"""The programs that serve, and then the folder that they are in."""
atexit.register(_until_the_end.close)


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="trn-host-cuda-")
    return Path(_until_the_end.enter_context(folder))


@cache
def _serving(program: Path) -> subprocess.Popen[str]:
    """A program that runs one launch after another, each in a fork of itself."""
    with program.with_suffix(".said").open("a") as said:
        served = subprocess.Popen(
            [program, program.with_suffix(".launch")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=ENVIRONMENT,
        )
    return _until_the_end.enter_context(served)


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
        given = [np.array(head, dtype=np.int32)]
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                given.append(np.int64(argument.nbytes))
            given.append(argument)
        launch, said = (self.program.with_suffix(suffix) for suffix in (".launch", ".said"))
        with _one_at_a_time:
            with launch.open("wb") as file:
                file.writelines(given)
            said.write_bytes(b"")
            served = _serving(self.program)
            print(self.name, LONGEST_S, file=served.stdin, flush=True)
            ended = os.waitstatus_to_exitcode(int(served.stdout.readline()))
            text = said.read_text(errors="replace")
            if ended == -signal.SIGALRM:
                raise KernelFault(f"no end after {LONGEST_S} s")
            if ended != 0:
                raise KernelFault(text or f"exit {ended}")
            with launch.open("rb") as file:
                for argument, is_result in zip(arguments, self.results):
                    if is_result == "1":
                        taken = file.readinto(argument)
                        assert taken == argument.nbytes
            return text


def build(source: str, name: str, counting: bool = False) -> HostKernel:
    """Build the kernel `name` of a source. Raises KernelFault where g++ does not take the source.

    counting: it counts its arithmetic (counting.h) instead of having its accesses checked.
    """
    return HostKernel(_built(source, counting), name, _results_of(source, name))


@cache
def _header(flags: tuple[str, ...]) -> Path:
    """The folder of the shim's header, compiled: parsing it anew takes half of a build."""
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    header = folder / "cuda_on_host.h"
    shutil.copy(HERE / header.name, header)
    subprocess.run(["g++", *flags, "-x", "c++-header", header, "-o", f"{header}.gch"], check=True)
    return folder


@cache
def _built(source: str, counting: bool) -> Path:
    """The program of all kernels of a source."""
    kernels = re.findall(r"__global__\s+void\s+(?:__launch_bounds__\(.*\n\s*)?(\w+)\(", source)
    program = _folder() / f"{kernels[0]}-{abs(hash((source, counting))):x}"
    counter = f'#include "{HERE / "counting.h"}"\n' if counting else ""
    cooperative = "true" if "__syncthreads" in source else "false"
    # What CUDA lays out at launch the shim allocates, exactly as large as the launch says.
    on_host = re.sub(
        r"extern __shared__ (\w+) (\w+)\[\];", r"\1 *\2 = (\1 *)host_cuda::dynamic_shared;", source
    )
    named = "".join(
        f'if (!strcmp(name, "{kernel}")) '
        f"return host_cuda::run<{kernel}>({kernel}, {cooperative});\n"
        for kernel in kernels
    )
    text = (
        f'#include "cuda_on_host.h"\n{counter}#line 1 "kernels.cu"\n{on_host}\n'
        "int main(int, char **file) { host_cuda::serve(file[1], [](const char *name) {\n"
        f"{named} exit(host_cuda::BAD_INPUT); }}); }}\n"
    )
    program.with_suffix(".cpp").write_text(text)
    flags = COUNTING_FLAGS if counting else FLAGS
    done = subprocess.run(
        ["g++", *flags, "-I", _header(flags), program.with_suffix(".cpp"), "-o", program],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise KernelFault(f"g++ ended with {done.returncode}: {done.stderr}{done.stdout}")
    return program


def _results_of(source: str, name: str) -> str:
    """One figure a parameter of a kernel: 1 for a pointer to what is not const."""
    found = re.search(rf"\b{name}\(([^)]*)\)\s*{{", source)
    assert found is not None
    parameters = found.group(1).split(",")
    return "".join(str(int("*" in p and "const" not in p)) for p in parameters)
