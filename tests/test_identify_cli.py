"""`trn identify`: one JSON document, a text for readers, and one line for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.crater_views import CAMERA, crater_view
from tests.crater_moon import moon_catalog, moon_index
from tests.maps_products import write_raster
from trn.maps import build_map
from trn.maps.catalog_file import write_catalog

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    folder = tmp_path_factory.mktemp("identify")
    view = crater_view(moon_index(), 3, least=25)
    write_catalog(folder / "craters.csv", moon_catalog())
    CAMERA.save(folder / "camera.yaml")
    (folder / "ellipses.json").write_text(json.dumps(view.ellipses.to_dict()))
    return {
        "ellipses": folder / "ellipses.json",
        "catalog": folder / "craters.csv",
        "camera": folder / "camera.yaml",
        "attitude": ",".join(map(str, view.told)),
        "truth": json.dumps(view.pose.position_m.tolist()),
    }


def words(files: dict[str, Path | str], *more: object, **changed: Path) -> list[object]:
    given = {**files, **changed}
    return [
        "identify", given["ellipses"], "--catalog", given["catalog"], "--camera", given["camera"],
        *more,
    ]  # fmt: skip


def test_json_holds_the_place_and_the_ids(files: dict[str, Path | str], run: Run) -> None:
    status, out, err = run(
        *words(files, "--attitude", files["attitude"], "--attitude-sigma-deg", 0.4, "--json")
    )
    assert status == 0 and err == ""
    values = json.loads(out)
    assert values["status"] == "identified"
    away = np.subtract(values["position_moon_me_m"], json.loads(str(files["truth"])))
    assert np.linalg.norm(away) < 15_000.0
    assert len(values["matches"]) > 10 and values["matches"][0]["id"].startswith("m")


def test_the_text_tells_where_from(files: dict[str, Path | str], run: Run) -> None:
    status, out, _ = run(*words(files))
    assert status == 0
    assert out.startswith("identified ") and "height" in out and "craters" in out


def test_what_is_not_identified_says_why(
    files: dict[str, Path | str], run: Run, tmp_path: Path
) -> None:
    few = tmp_path / "few.json"
    few.write_text('{"ellipses": []}')
    status, out, _ = run(*words(files, ellipses=few))
    assert status == 0 and out.startswith("unidentified: 0 usable ellipses")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--attitude", "0,0,0,1"), "sigma"),
        (("--attitude", "0,0,1", "--attitude-sigma-deg", "1"), "X,Y,Z,W"),
        (("--attitude", "0,0,0,a", "--attitude-sigma-deg", "1"), "X,Y,Z,W"),
        (("--attitude", "0,0,0,0", "--attitude-sigma-deg", "1"), "quaternion"),
        (("--attitude", "0,0,0,1", "--attitude-sigma-deg", "-1"), "sigma"),
    ],
)
def test_a_bad_attitude_is_one_line(
    files: dict[str, Path | str], run: Run, more: tuple[str, ...], word: str
) -> None:
    status, out, err = run(*words(files, *more))
    assert status == 2 and out == "" and err.count("\n") == 1 and word in err


@pytest.mark.parametrize("which", ["ellipses", "catalog", "camera"])
def test_a_missing_file_is_named(
    files: dict[str, Path | str], run: Run, tmp_path: Path, which: str
) -> None:
    status, out, err = run(*words(files, **{which: tmp_path / "absent.file"}))
    assert status == 2 and out == "" and err.count("\n") == 1 and "absent.file" in err


def test_a_map_tells_how_high_the_rims_stand(
    files: dict[str, Path | str], run: Run, tmp_path: Path
) -> None:
    """Every crater here stands on the sphere: knowing it makes the place the surer."""

    def sigma_m(*more: object) -> float:
        status, out, _ = run(
            *words(files, "--attitude", files["attitude"], "--attitude-sigma-deg", 0.4, "--json"),
            *more,
        )
        assert status == 0
        return float(np.sqrt(np.trace(json.loads(out)["covariance_m2"])))

    whole = write_raster(
        tmp_path / "moon.tif", np.zeros((360, 720), np.float32), (-180.0, 90.0), (0.5, 0.5)
    )
    build_map([whole], tmp_path / "moon.map")
    assert sigma_m("--map", tmp_path / "moon.map") < 0.7 * sigma_m()


def test_a_map_of_another_place_is_refused(
    files: dict[str, Path | str], run: Run, tmp_path: Path
) -> None:
    small = write_raster(
        tmp_path / "s.tif", np.zeros((20, 20), np.float32), (0.0, 0.02), (0.001, 0.001)
    )
    build_map([small], tmp_path / "s.map")
    status, out, err = run(*words(files), "--map", tmp_path / "s.map")
    assert status == 2 and out == "" and err.count("\n") == 1
    assert "holds none of the craters" in err and "s.map" in err
