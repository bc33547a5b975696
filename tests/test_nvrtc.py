"""Every CUDA kernel compiles for every architecture, and takes the registers that the table says.

The compilers are NVRTC's pip wheels: no driver, no toolkit. 12.6 is what JetPack 6 has.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.host_cuda.nvrtc import ARCHITECTURES, DISTRIBUTIONS, CompileError, Nvrtc
from trn.backend.cuda_source import KERNELS, kernel_source
from trn.resources import resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module", params=DISTRIBUTIONS)
def compiler(request: pytest.FixtureRequest, compilers: dict[str, Nvrtc]) -> Nvrtc:
    if request.param not in compilers:
        pytest.skip(f"{request.param} is not installed: pip install {request.param}")
    compilers[request.param].finish()
    return compilers[request.param]


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    with resource_path("kernels", "cuda/resources.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_compile_and_take_what_the_table_says(
    kernel: str, architecture: int, compiler: Nvrtc, table: dict[str, Any]
) -> None:
    if architecture not in compiler.architectures:
        pytest.skip(f"NVRTC {compiler.version} does not know sm_{architecture}")
    taken = compiler.resources(kernel, architecture)
    if compiler.version == table["nvrtc"]:
        assert vars(taken) == table[kernel][f"sm_{architecture}"]
    else:
        # Another compiler allots registers its own way; none may spill them.
        assert taken.spill_bytes == 0
        assert 0 < taken.registers < 128


def test_the_table_has_every_kernel_and_architecture_and_no_spills(table: dict[str, Any]) -> None:
    assert set(table) - {"nvrtc"} == set(KERNELS)
    for kernel in KERNELS:
        assert set(table[kernel]) == {f"sm_{architecture}" for architecture in ARCHITECTURES}
        for taken in table[kernel].values():
            assert taken["spill_bytes"] == taken["stack_bytes"] == 0


def test_every_kernel_file_is_in_the_list() -> None:
    files = resource_path("kernels", "cuda").glob("*.cu")
    assert {file.stem for file in files} == set(KERNELS.values())


@pytest.mark.parametrize("file", sorted(set(KERNELS.values())))
def test_sources_include_nothing(file: str) -> None:
    assert "#include" not in kernel_source(file)


def test_a_broken_kernel_is_an_error_with_the_compilers_words(compiler: Nvrtc) -> None:
    with pytest.raises(CompileError, match='identifier "y" is undefined'):
        compiler.compile('extern "C" __global__ void k(float *x) { *x = y; }', 75)
