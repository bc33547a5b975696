"""The host shim catches what it is there to catch: one fault of each kind, planted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.host_cuda import shim

pytestmark = pytest.mark.skipif(shim.why_not() != "", reason=shim.why_not())

ORDERS = (0, 1, 2, 3)
VALUES = np.arange(64, dtype=np.float32)


def run(name: str, order: int = 0) -> NDArray[np.float32]:
    """What a kernel of tests/host_cuda/faults makes of VALUES, over two blocks."""
    source = (shim.HERE / "faults" / f"{name}.cu").read_text(encoding="utf-8")
    result = np.zeros(64, dtype=np.float32)
    pool_bytes = 256 if "extern __shared__" in source else 0
    shim.build(source, name).launch((2,), (64,), (VALUES, result), pool_bytes, order)
    return result


@pytest.mark.parametrize("order", ORDERS)
def test_a_sound_kernel_gives_one_result_in_every_order(order: int) -> None:
    assert (run("sound", order) == VALUES[::-1]).all()


def test_a_missing_barrier_shows_as_a_result_that_depends_on_the_order() -> None:
    results = [run("missing_barrier", order) for order in ORDERS]
    assert not all(np.array_equal(results[0], result) for result in results[1:])
    assert all(np.isnan(result).any() for result in results)


@pytest.mark.parametrize("name", ["divergent_barrier", "two_barriers"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_divergent_barrier_ends_the_run(name: str, order: int) -> None:
    with pytest.raises(shim.KernelFault, match="divergent barrier"):
        run(name, order)


@pytest.mark.parametrize("name", ["unset_shared", "unset_pool"])
def test_unset_shared_memory_is_nan_in_every_block(name: str) -> None:
    assert np.isnan(run(name)).all()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("beyond_global", "heap-buffer-overflow"),
        ("beyond_shared", "global-buffer-overflow"),
        ("beyond_pool", "heap-buffer-overflow"),
    ],
)
def test_an_access_out_of_bounds_ends_the_run(name: str, what: str) -> None:
    with pytest.raises(shim.KernelFault, match=what):
        run(name)


SPINNING = """
extern "C" __global__ void spinning(volatile float *x, long long beyond, int rounds) {
    static float launches = 0.0f;
    for (int k = 0; k != rounds; ++k) x[beyond] = launches += 1.0f;
}
"""


@pytest.mark.parametrize(
    ("beyond", "rounds", "what"),
    [(0, -1, "no end after 1 s"), (1, 1, "heap-buffer-overflow"), (1 << 40, 1, "SEGV")],
)
def test_a_fault_leaves_nothing_to_the_launches_after_it(
    beyond: int, rounds: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "LONGEST_S", 1)
    kernel = shim.build(SPINNING, "spinning")
    x = np.zeros(1, np.float32)
    with pytest.raises(shim.KernelFault, match=what):
        kernel.launch((1,), (1,), (x, np.int64(beyond), np.int32(rounds)))
    assert x == 0.0
    for _ in range(2):
        assert kernel.launch((1,), (1,), (x, np.int64(0), np.int32(3))) == ""
        assert x == 3.0


def test_a_kernel_that_is_no_cpp_says_what_the_compiler_says() -> None:
    with pytest.raises(shim.KernelFault, match="error"):
        shim.build('extern "C" __global__ void broken(float *x) { x = ; }', "broken")


MIXED = """
extern "C" __global__ void mixed(const float *x, int count, double *y) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= count) return;
    float doubled = 2.0f * x[k] + 1.0f;
    y[k] = k % 2 ? sqrt((double)doubled) / 3.0 : fmax((double)doubled, 0.5);
}
"""


def test_arithmetic_is_counted_and_gives_what_it_gives_uncounted() -> None:
    results = []
    for counting in (False, True):
        y = np.zeros(50)
        said = shim.build(MIXED, "mixed", counting).launch((2,), (32,), (VALUES, np.int32(50), y))
        results.append(y)
    # A product and a sum each; a root and a quotient for every second one.
    assert said == "counted 100 50\n"
    assert np.array_equal(*results)


def test_the_shim_stays_under_200_lines() -> None:
    text = (shim.HERE / "cuda_on_host.h").read_text(encoding="utf-8").splitlines()
    assert len(text) < 200
