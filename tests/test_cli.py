"""The command line: bad input is one line and status 2, help holds examples, JSON is JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from tests.pictured import craters_pictured
from tests.simulated import SMALL, small_map
from trn.camera import Camera
from trn.detect import load_detections
from trn.detect.score import match
from trn.maps.build import build_map
from trn.resources import resource_path
from trn.simulate.site import MOON_GEOGRAPHIC_WKT

Run = Callable[..., tuple[int, str, str]]


def write_dem(path: Path, crs: str | None, degrees_per_pixel: float = 0.01) -> Path:
    heights = np.random.default_rng(0).normal(0, 100, (80, 80)).astype(np.float32)
    with rasterio.open(
        path, "w", driver="GTiff", width=80, height=80, count=1, dtype="float32",
        transform=Affine(degrees_per_pixel, 0.0, 44.0, 0.0, -degrees_per_pixel, 47.0), crs=crs,
    ) as target:  # fmt: skip
        target.write(heights, 1)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("good")
    dem = write_dem(folder / "dem.tif", MOON_GEOGRAPHIC_WKT)
    build_map([dem], folder / "site.map")
    Camera(64, 48, 60.0, 60.0, 31.5, 23.5).save(folder / "camera.yaml")
    (folder / "prior.json").write_text(json.dumps(prior_values()))
    image = np.random.default_rng(1).integers(0, 255, (48, 64)).astype(np.uint8)
    cv2.imwrite(str(folder / "frame.png"), image)
    return {
        "image": folder / "frame.png",
        "map": folder / "site.map",
        "camera": folder / "camera.yaml",
        "prior": folder / "prior.json",
        "dem": dem,
    }


def prior_values() -> dict[str, Any]:
    return {
        "position_moon_me_m": [872_000.0, 846_000.0, 1_300_000.0],
        "position_sigma_m": 1500.0,
        "quaternion_body_to_camera_xyzw": [0.0, 0.0, 0.0, 1.0],
        "attitude_sigma_deg": 0.1,
        "sun_direction_moon_me": [1.0, 0.0, 0.0],
    }


def locate_with(good: dict[str, Path], **changed: Path) -> list[object]:
    paths = {**good, **changed}
    return [
        "locate", paths["image"], "--map", paths["map"],
        "--camera", paths["camera"], "--prior", paths["prior"], "--json",
    ]  # fmt: skip


def assert_refused(result: tuple[int, str, str], *words: str) -> None:
    status, out, err = result
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_noise_image_gives_one_json_document_and_a_reason(
    good: dict[str, Path], run: Run
) -> None:
    status, out, _ = run(*locate_with(good))
    assert status == 0
    fix = json.loads(out)
    assert fix["status"] == "no_fix"
    assert "noise" in fix["reason"]
    assert fix["position_moon_me_m"] is None


def test_a_truncated_png_is_named(good: dict[str, Path], run: Run, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(good["image"].read_bytes()[:-40])
    assert_refused(run(*locate_with(good, image=cut)), "cut.png", "cut off")


def test_a_colour_image_is_named(good: dict[str, Path], run: Run, tmp_path: Path) -> None:
    colour = tmp_path / "colour.png"
    cv2.imwrite(str(colour), np.zeros((48, 64, 3), np.uint8))
    assert_refused(run(*locate_with(good, image=colour)), "colour.png", "colour")


def test_an_image_of_another_size_is_named(good: dict[str, Path], run: Run, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((40, 64), np.uint8))
    assert_refused(run(*locate_with(good, image=small)), "small.png", "64 x 40", "64 x 48")


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("quaternion_body_to_camera_xyzw", [0.0, 0.0, 0.0, 2.0], "unit"),
        ("quaternion_body_to_camera_xyzw", [float("nan"), 0.0, 0.0, 1.0], "finite"),
        ("position_moon_me_m", [1000.0, 0.0, 0.0], "inside the Moon"),
        ("position_sigma_m", -1.0, "above zero"),
        ("attitude_sigma_deg", None, "attitude_sigma_deg"),
        ("sun_direction_moon_me", [0.0, 0.0, 0.0], "zero"),
    ],
)
def test_a_bad_prior_names_its_field(
    good: dict[str, Path], run: Run, tmp_path: Path, field: str, value: Any, word: str
) -> None:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps({**prior_values(), field: value}))
    assert_refused(run(*locate_with(good, prior=path)), "prior.json", field, word)


def test_a_damaged_map_file_is_named(good: dict[str, Path], run: Run, tmp_path: Path) -> None:
    out = tmp_path / "damaged.map"
    build_map([good["dem"]], out)
    raster = next(out.glob("*.tif"))
    data = bytearray(raster.read_bytes())
    data[len(data) // 2] ^= 0xFF
    raster.write_bytes(bytes(data))
    assert_refused(run(*locate_with(good, map=out)), raster.name)
    status, _, err = run("map", "info", out)
    assert status == 2
    assert "checksum" in err


@pytest.mark.parametrize(("crs", "word"), [(None, "CRS"), ("EPSG:4326", "Moon")])
def test_a_dem_that_is_not_of_the_moon_is_named_and_nothing_written(
    run: Run, tmp_path: Path, crs: str | None, word: str
) -> None:
    dem = write_dem(tmp_path / "dem.tif", crs)
    out = tmp_path / "new.map"
    assert_refused(run("map", "build", "--dem", dem, "--out", out), "dem.tif", word)
    assert [path.name for path in tmp_path.iterdir()] == ["dem.tif"]


def test_map_build_takes_several_files_and_info_reads_them_back(
    good: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "built.map"
    status, _, err = run("map", "build", "--dem", good["dem"], good["dem"], "--out", out)
    assert status == 0, err
    status, text, _ = run("map", "info", out, "--json")
    assert status == 0
    assert json.loads(text)["intact"] is True


@pytest.mark.parametrize(
    "command",
    [
        [], ["bench"], ["demo"], ["detect"], ["doctor"], ["identify"], ["locate"], ["map"],
        ["map", "build"], ["map", "info"], ["replay"], ["simulate"],
    ],
)  # fmt: skip
def test_help_holds_an_example(run: Run, command: list[str]) -> None:
    status, out, _ = run(*command, "--help")
    assert status == 0
    assert "Example: " + " ".join(["trn", *command]) in out


@pytest.fixture(scope="module")
def descent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small scenario as a file, and a map of its site."""
    folder = tmp_path_factory.mktemp("descent")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    return {"scenario": folder / "small.toml", "map": small_map(folder)}


def simulate_with(descent: dict[str, Path], out: Path, *words: object) -> list[object]:
    return ["simulate", descent["scenario"], "--map", descent["map"], "--out", out, *words]


def test_simulate_writes_a_dataset_and_says_where(
    descent: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    window = ["--from", 208, "--to", 209, "--seed", 3, "--fault", "lrf-bias:onset=0,size=20"]
    status, text, err = run(*simulate_with(descent, out, *window, "--preview"))
    assert (status, err) == (0, "")
    pictures = [out / "preview_frames.png", out / "preview_plots.png"]
    assert text.split() == [str(path) for path in (out, *pictures)]
    assert all(path.stat().st_size > 1000 for path in pictures)
    facts = (out / "dataset.toml").read_text(encoding="utf-8")
    assert "complete = true" in facts and "seed = 3" in facts and "lrf-bias" in facts
    assert len(list((out / "cam0" / "data").iterdir())) == 2
    # The same command again: nothing to do, no other answer.
    assert run(*simulate_with(descent, out, *window))[:2] == (0, f"{out}\n")
    assert_refused(run(*simulate_with(descent, out, "--seed", 4)), "other arguments", "--out")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--fault", "lrf-tired"], ["lrf-tired", "lrf-stuck"]),
        (["--fault", "lrf-bias:size=far"], ["lrf-bias", "size", "far"]),
        (["--seed", -1], ["seed"]),
        (["--from", 9, "--to", 3], ["from"]),
        (["--from", 100000], ["from", "begin earlier"]),
        (["--map", "nowhere.map"], ["nowhere.map"]),
        (["--backend", "auto"], ["backend", "cpu or cuda"]),
    ],
)
def test_simulate_names_what_cannot_be(
    descent: dict[str, Path], run: Run, tmp_path: Path, words: list[object], named: list[str]
) -> None:
    assert_refused(run(*simulate_with(descent, tmp_path / "never", *words)), *named)
    assert not (tmp_path / "never").exists()


def test_simulate_names_a_scenario_that_is_not_known_or_not_toml(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "never"
    assert_refused(run("simulate", "apollo-13", "--out", out), "apollo-13", "hakuto-r-m1")
    broken = tmp_path / "broken.toml"
    broken.write_text("[site\n")
    assert_refused(run("simulate", broken, "--out", out), "broken.toml", "not TOML")
    assert_refused(run("simulate", tmp_path / "none.toml", "--out", out), "none.toml", "read")
    assert not out.exists()


def test_usage_errors_are_one_line(run: Run) -> None:
    assert_refused(run("locate", "frame.png"), "map")
    assert_refused(run("fly"), "fly")


def test_doctor_names_backends_and_versions(run: Run) -> None:
    status, out, _ = run("doctor", "--json")
    assert status == 0
    findings = json.loads(out)
    assert [backend["name"] for backend in findings["backends"]] == [
        "cpu", "cuda", "fpga-model", "fpga-sim"
    ]  # fmt: skip
    assert findings["packages"]["numpy"]


@pytest.mark.parametrize("name", ["numpy", "cv2", "numba"])
def test_doctor_gives_its_advice_also_where_a_package_is_missing(name: str) -> None:
    """In a process of its own: what is imported once cannot go missing."""
    code = (
        f"import sys; sys.modules[{name!r}] = None; "
        "from trn.cli.main import main; main(['doctor', '--json'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    findings = json.loads(ended.stdout)
    assert any("pip install" in line and "backend all" in line for line in findings["advice"])
    assert name in findings["backends"][0]["reason"]


def test_asking_for_cuda_without_one_says_why(good: dict[str, Path], run: Run) -> None:
    status, out, err = run(*locate_with(good), "--backend", "cuda")
    assert (status, out) == (1, "")
    assert "cuda is not usable" in err


def test_detect_prints_the_detections_file(run: Run, tmp_path: Path):
    truth = np.array([[60.0 + 70.0 * k, 60.0, 15.0, 14.0, 0.3] for k in range(3)])
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), craters_pictured(truth, 256, 0.6))
    status, out, err = run("detect", path, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["ellipses"]
    assert set(document["ellipses"][0]) == {"x", "y", "a", "b", "theta_rad", "score"}
    (tmp_path / "ellipses.json").write_text(out)
    found = load_detections(tmp_path / "ellipses.json")
    assert match(found, truth).right.sum() == 3
    status, out, err = run("detect", path, "--sun-azimuth-deg", 34, "--least-score", 0.6)
    assert status == 0
    assert out.splitlines()[0].endswith("craters")


def test_detect_runs_the_network_where_it_is_asked_for(run: Run, tmp_path: Path):
    truth = np.array([[60.0 + 70.0 * k, 60.0, 15.0, 14.0, 0.3] for k in range(3)])
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), craters_pictured(truth, 256, 0.6))
    status, out, err = run("detect", path, "--detector", "network", "--json")
    assert (status, err) == (0, "")
    (tmp_path / "ellipses.json").write_text(out)
    assert match(load_detections(tmp_path / "ellipses.json"), truth).right.sum() == 3


@pytest.mark.parametrize("detector", ["kernel", "network"])
def test_detect_gives_craters_from_the_size_asked_for(run: Run, tmp_path: Path, detector: str):
    truth = np.array([[60.0 + 70.0 * k, 60.0, 3.0 + 6.0 * k, 3.0 + 6.0 * k, 0.0] for k in range(3)])
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), craters_pictured(truth, 256, 0.6))
    for smallest_px, expected in ((5, 3), (12, 2), (24, 1)):
        words = ("--detector", detector, "--smallest-px", smallest_px, "--json")
        status, out, err = run("detect", path, *words)
        assert (status, err) == (0, "")
        (tmp_path / "ellipses.json").write_text(out)
        found = load_detections(tmp_path / "ellipses.json")
        assert match(found, truth).right.sum() == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--detector", "oracle"], "kernel or network"),
        (["--detector", "network", "--sun-azimuth-deg", "30"], "--sun-azimuth-deg"),
    ],
)
def test_detect_refuses_what_a_detector_does_not_know(
    run: Run, good: dict[str, Path], words: list[str], says: str
):
    status, out, err = run("detect", good["image"], *words)
    assert (status, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_detect_says_in_one_line_that_the_network_is_not_as_listed(
    run: Run, good: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in ("crater_net.onnx", "manifest.toml"):
        shutil.copy(resource_path("models", name), tmp_path)
    with (tmp_path / "crater_net.onnx").open("r+b") as file:
        file.truncate(1000)
    monkeypatch.setattr("trn.detect.network_model.resource_path", lambda _, name: tmp_path / name)
    status, out, err = run("detect", good["image"], "--detector", "network")
    assert (status, out) == (2, "")
    assert "crater_net.onnx" in err and "SHA-256" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--least-score", "2"], ["--least-score", "nan"], ["--sun-azimuth-deg", "inf"],
        ["--smallest-px", "3"], ["--smallest-px", "nan"],
    ],
)  # fmt: skip
def test_detect_refuses_numbers_out_of_range(run: Run, good: dict[str, Path], words: list[str]):
    status, out, err = run("detect", good["image"], *words)
    assert (status, out) == (2, "")
    assert words[0] in err
    assert len(err.splitlines()) == 1


def test_detect_names_an_image_that_is_not_there(run: Run, tmp_path: Path):
    status, out, err = run("detect", tmp_path / "none.png")
    assert (status, out) == (2, "")
    assert "none.png" in err
    assert len(err.splitlines()) == 1
