"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cliff import cliff_ranges
from tests.host_cuda.nvrtc import DISTRIBUTIONS, Nvrtc
from trn.altimetry.terrain import MapRanges
from trn.cli.main import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line: words to exit status, standard output and standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture(scope="session", autouse=True)
def compilers(request: pytest.FixtureRequest) -> Iterator[dict[str, Nvrtc]]:
    """NVRTC of each package installed; all kernels compile beside the tests that come before."""
    found = {}
    if any(item.path.name == "test_nvrtc.py" for item in request.session.items):
        for distribution in DISTRIBUTIONS:
            with suppress(ModuleNotFoundError):
                found[distribution] = Nvrtc(distribution)
    pool = ThreadPoolExecutor(1)
    for compiler in found.values():
        compiler.begin(pool)
    yield found
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real maps and photographs; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("TRN_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TRN_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def cliff_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the map with a cliff is built once for all tests."""
    return tmp_path_factory.mktemp("cliff")


@pytest.fixture(scope="session")
def cliff(cliff_folder: Path) -> MapRanges:
    """Ranges to a small map with a cliff."""
    return cliff_ranges(cliff_folder)
