"""`trn bench` times every stage on every usable backend, and says it to people and to machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trn import localizer
from trn.backend import cuda_usable, select
from trn.backend.cpu import CpuBackend
from trn.bench import run as bench_run
from trn.bench.frames import make_frames
from trn.bench.operations import operations
from trn.bench.report import as_markdown
from trn.bench.roofline import Rates, measured_rates
from trn.bench.timing import Timing, markdown, summarised, timed_ms
from trn.fix import LandmarkCounts, PositionFix

Run = Callable[..., tuple[int, str, str]]
OPERATIONS = {
    "ray_cast",
    "ray_cast_view",
    "shadow",
    "shade",
    "predict_view",
    "statistics",
    "shrink",
    "contrast",
    "information",
    "resemblance",
    "align",
    "correlate",
    "crater_response",
    "warp",
}


def test_quantiles_are_those_of_the_times() -> None:
    timing = summarised([float(ms) for ms in range(1, 102)], "rays", work=510.0)
    assert (timing.median_ms, timing.p95_ms, timing.p99_ms) == (51.0, 96.0, 100.0)
    assert timing.runs == 101
    assert timing.per_second == pytest.approx(10_000.0)  # 510 rays in 51 ms
    with pytest.raises(ValueError, match="no times"):
        summarised([], "rays")


def test_the_first_call_warms_up_and_is_not_timed() -> None:
    calls: list[int] = []
    assert len(timed_ms(lambda: calls.append(1), 5)) == 5
    assert len(calls) == 6


def test_the_floor_is_the_slower_of_moving_and_computing() -> None:
    rates = Rates(bytes_per_s=1e9, flops_per_s=1e10)
    assert rates.floor_ms(2e6, 1e7) == pytest.approx(2.0)
    assert rates.floor_ms(2e6, 5e7) == pytest.approx(5.0)
    assert rates.floor_ms(2e6, None) == pytest.approx(2.0)


def test_rates_are_measured_by_waiting_for_every_copy_and_product() -> None:
    waited: list[int] = []
    rates = measured_rates(np, lambda: waited.append(1), copy_bytes=1 << 20, matrix_side=64)
    assert len(waited) == 2 * 6  # five runs and a warm-up each
    assert rates.bytes_per_s > 1e7 and rates.flops_per_s > 1e7


def test_the_table_compares_two_backends_and_leaves_out_what_one_lacks() -> None:
    def timing(ms: float) -> Timing:
        return summarised([ms], "frames")

    table = markdown(
        "stage",
        {"cpu": {"solve": timing(30.0), "check": timing(1.0)}, "cuda": {"solve": timing(2.0)}},
    )
    head, rule, solve, check = table.splitlines()
    assert head.split(" | ")[-1] == "cpu / cuda |"
    assert {line.count("|") for line in (head, rule, solve, check)} == {11}
    assert solve.endswith("| 15 |")
    assert check.endswith("|  |  |  |  |  |")
    assert "| 1 000 frames |" in check


def test_every_operation_is_called_on_all_of_its_work() -> None:
    every = operations(CpuBackend(), 256)
    assert set(every) == OPERATIONS
    hits = every["ray_cast"].call()
    assert (hits.state == 0).all()
    assert every["ray_cast"].work == len(hits.state)
    assert len(every["crater_response"].call()) > 10
    assert len(every["align"].call().cells) > 100
    assert all(operation.moved_bytes > 0.0 for operation in every.values())
    peaks = every["correlate"].call()
    assert peaks.score.min() > 0.999  # a frame finds its own templates


def test_the_same_frames_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = (make_frames(tmp_path / name, 256, 2)[2] for name in ("one", "two"))
    for a, b in zip(first, second):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.prior.position_m, b.prior.position_m)
    assert not np.array_equal(first[0].image, first[1].image)


def test_agreement_counts_statuses_and_measures_in_map_pixels() -> None:
    def fix(x: float | None) -> PositionFix:
        found = PositionFix.refused("", LandmarkCounts(0, 0, 0), "cpu", {})
        if x is None:
            return found
        object.__setattr__(found, "status", "fix")
        object.__setattr__(found, "position_m", np.array([x, 0.0, 0.0]))
        return found

    fixes = {"cpu": [fix(0.0), fix(5.0), fix(None)], "cuda": [fix(1.0), fix(5.0), fix(0.0)]}
    agreement = bench_run._agreement(fixes, 200.0)
    assert agreement["cuda"]["same_status"] == pytest.approx(2 / 3)
    assert agreement["cuda"]["largest_apart_map_px"] == pytest.approx(1 / 200)


def test_json_is_one_document_with_every_stage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "examine_cuda", lambda: pytest.fail("a GPU was looked for"))
    out = tmp_path / "bench.json"
    status, printed, err = run(
        "bench", "--json", "--backend", "cpu", "--runs", 2, "--side", 256, "--out", out
    )
    assert (status, err) == (0, "")
    results = json.loads(printed)
    assert results == json.loads(out.read_text())
    assert {"check", "predict", "correlate", "solve", "total"} <= set(results["locate"]["cpu"])
    assert set(results["operations"]["cpu"]) == OPERATIONS | {"detect_craters", "render"}
    for timing in (*results["locate"]["cpu"].values(), *results["operations"]["cpu"].values()):
        assert 0.0 < timing["median_ms"] <= timing["p95_ms"] <= timing["p99_ms"]
        assert timing["per_second"] > 0.0
    assert results["accuracy"]["cpu"]["frames"] == 2
    for name, need in results["roofline"]["cpu"]["operations"].items():
        median_ms = results["operations"]["cpu"][name]["median_ms"]
        assert need["share"] == pytest.approx(need["floor_ms"] / median_ms)
    assert results["machine"]["cores"] >= 1
    table = out.with_suffix(".md").read_text()
    assert "| locate | cpu median ms | p95 | p99 | per second |" in table
    assert "| crater_response |" in table


def test_two_backends_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is the CPU under another name: same fixes, about the same times."""

    def select_either(name: str) -> CpuBackend:
        backend = CpuBackend()
        backend.name = name
        return backend

    monkeypatch.setattr(bench_run, "select_backend", select_either)
    monkeypatch.setattr(localizer, "select_backend", select_either)
    monkeypatch.setattr(bench_run, "rates_of", lambda backend: Rates(1e9, 1e9))
    results = bench_run.run_bench(["cpu", "cuda"], runs=4, side_px=256)
    assert results["agreement_with_cpu"]["cuda"]["same_status"] == 1.0
    assert results["accuracy"]["cpu"] == results["accuracy"]["cuda"]
    assert results["accuracy"]["cpu"]["fixes"] > 0
    assert results["agreement_with_cpu"]["cuda"]["largest_apart_map_px"] == 0.0
    text = as_markdown(results)
    assert "| cpu / cuda |" in text
    assert "cuda and cpu: same status in 100.0%" in text


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--backend", "tpu"), "use cpu or cuda"),
        (("--runs", "0"), "--runs"),
        (("--side", "100"), "--side"),
        (("--out", "/not/there/bench.json"), "is no folder"),
        (("--out", "bench.md"), "name a .json file"),
    ],
)
def test_bad_options_are_one_line_and_status_2(
    run: Run, words: tuple[str, ...], names: str
) -> None:
    status, out, err = run("bench", *words)
    assert (status, out) == (2, "")
    assert names in err and err.count("\n") == 1


def test_asking_for_a_backend_that_does_not_work_says_why(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = cuda_usable.CudaFinding(False, "CuPy is not installed", "pip install 'trn[gpu]'")
    monkeypatch.setattr(select, "examine_cuda", lambda: finding)
    status, out, err = run("bench", "--backend", "cuda")
    assert (status, out) == (1, "")
    assert "CuPy is not installed" in err
