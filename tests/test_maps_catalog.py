"""Crater catalogues read in their authors' columns; wrong units are told by physics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trn.errors import InputError
from trn.maps import catalog_file
from trn.maps.catalog_file import CatalogFile, read_catalog, write_catalog
from trn.maps.catalog_units import implausible_units

OURS = "latitude_deg,longitude_east_deg,diameter_km"
ROBBINS = (
    "CRATER_ID,LAT_CIRC_IMG,LON_CIRC_IMG,LAT_ELLI_IMG,LON_ELLI_IMG,DIAM_CIRC_IMG,DIAM_CIRC_SD_IMG,"
    "DIAM_ELLI_MAJOR_IMG,DIAM_ELLI_MINOR_IMG,DIAM_ELLI_ECCEN_IMG,DIAM_ELLI_ELLIP_IMG,"
    "DIAM_ELLI_ANGLE_IMG,LAT_ELLI_SD_IMG,LON_ELLI_SD_IMG,DIAM_ELLI_MAJOR_SD_IMG,"
    "DIAM_ELLI_MINOR_SD_IMG,DIAM_ELLI_ANGLE_SD_IMG,DIAM_ELLI_ECCEN_SD_IMG,DIAM_ELLI_ELLIP_SD_IMG,"
    "ARC_IMG,PTS_RIM_IMG"
)
CATALOGS = ("atlas", "crisium", "frigoris", "hadley", "tycho")
Columns = tuple[Any, Any, Any]


def read(tmp_path: Path, text: str | bytes) -> CatalogFile:
    """Read a catalogue of this text."""
    path = tmp_path / "c.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_catalog(path)


def numbers(catalog: Any) -> Columns:
    """Latitudes, longitudes (degrees) and diameters (km) of a catalogue."""
    return (
        np.degrees(catalog.latitude),
        np.degrees(catalog.longitude),
        catalog.diameter_m / 1000.0,
    )


def population(rng: np.random.Generator, count: int, side_km: float, at: Any) -> Columns:
    """Craters scattered over a square, cumulative slope -2, at most a tenth of saturation."""
    least = min(side_km * np.sqrt(0.1 * 1.54 / count), 5.0)
    diameter = least / np.sqrt(1.0 - rng.uniform(0.0, 0.999, count))
    half = np.degrees(0.5 * side_km / 1737.4)
    latitude = np.clip(at[0] + rng.uniform(-half, half, count), -89.9, 89.9)
    longitude = at[1] + rng.uniform(-half, half, count) / np.cos(np.radians(latitude))
    return latitude, np.mod(longitude + 180.0, 360.0) - 180.0, diameter


def test_our_columns_are_read_largest_first(tmp_path: Path) -> None:
    read_back = read(
        tmp_path,
        f"id,{OURS},major_km,minor_km,angle_deg\na,10,200,3,,,\nb,-20,-30,8,10,7,120\nc,0,1,3,3,3,\n",
    )
    catalog = read_back.catalog
    assert catalog.id.tolist() == ["b", "a", "c"]
    assert np.degrees(catalog.longitude) == pytest.approx([-30.0, -160.0, 1.0])
    assert catalog.major_m.tolist() == [10_000.0, 3000.0, 3000.0]
    assert catalog.minor_m.tolist() == [7000.0, 3000.0, 3000.0]
    assert np.degrees(catalog.angle) == pytest.approx([-60.0, 0.0, 0.0])
    assert read_back.skipped_count == 0 and read_back.summary() == ""


def test_robbins_ellipses_and_their_centres_are_taken(tmp_path: Path) -> None:
    rest = ",0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.9,99"
    catalog = read(
        tmp_path,
        f"{ROBBINS}\n"
        f"00-1,-19.8,264.7,-19.9,264.5,940.9,21.3,975.8,905.9,0.37,1.07,35.9{rest}\n"
        f"00-2,44.9,328.6,,,249.8,5.9,,,,,{rest}\n",
    ).catalog
    assert catalog.id.tolist() == ["00-1", "00-2"]
    assert np.degrees(catalog.latitude) == pytest.approx([-19.9, 44.9])
    assert np.degrees(catalog.longitude) == pytest.approx([-95.5, -31.4])
    assert catalog.major_m == pytest.approx([975_800.0, 249_800.0])
    assert catalog.minor_m == pytest.approx([905_900.0, 249_800.0])
    assert np.degrees(catalog.angle) == pytest.approx([35.9, 0.0])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Lon,Lat,Diam_km\n-30,20,25\n", "Head"),
        ("Index,Tile,Long,Lat,Diameter (km),tag\n1,x,-30,20,25,Standard\n", "Povilaitis"),
        ("x_coord;y_coord;Diam_km;tag\n-30;20;25;t\n", "GIS export"),
        ('"Lat"\t"Lon"\t"Diam_km"\n20\t330\t25\n', "Head"),
    ],
)
def test_head_and_povilaitis_are_known_by_their_columns(
    tmp_path: Path, text: str, kind: str
) -> None:
    found = read(tmp_path, text)
    assert kind in found.kind
    catalog = found.catalog
    place = [catalog.latitude[0], catalog.longitude[0]]
    assert np.degrees(place) == pytest.approx([20.0, -30.0])
    assert catalog.diameter_m.tolist() == [25_000.0]
    assert catalog.id.tolist() == ["line2"]


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{OURS}\r\n1,2,3\r\n\r\n4,5,6\r\n",
        f"\n\n{OURS}\n\n1,2,3\n,,\n  \n4,5,6",
        "latitude_deg;longitude_east_deg;diameter_km\n1;2;3\n4,0;5,0;6,0\n",
        "Latitude_Deg\tlongitude_east_deg \tdiameter_km\n1\t2\t3\n4\t5\t6\n",
        '"latitude_deg","longitude_east_deg","diameter_km","note"\n1,2,3,"a, b"\n4,5,"6",\n',
    ],
)
def test_what_spreadsheets_make_of_a_file_is_read(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    latitude, longitude, diameter = numbers(found.catalog)
    assert latitude == pytest.approx([4.0, 1.0])
    assert longitude == pytest.approx([5.0, 2.0])
    assert diameter == pytest.approx([6.0, 3.0])
    assert found.rows == 2


def test_broken_rows_are_skipped_counted_and_named(tmp_path: Path) -> None:
    broken = [
        "x,2,3,,", "91,2,3,,", "1,400,3,,", "1,2,,,", "1,2,-3,,", "1,2,nan,,", "1,2,inf,,",
        "1,2,3,4,5", "1,2,3,-4,2", "1,2,3,y,2", "1,2", "1,2,9999,,",
    ]  # fmt: skip
    rows = ["1,2,3,,", *broken, "7,8,9,10,8"]
    found = read(tmp_path, f"{OURS},major_km,minor_km\n" + "\n".join(rows) + "\n")
    assert found.catalog.id.tolist() == ["line15", "line2"]
    assert found.rows == 14 and found.skipped_count == 12
    reasons = {row.line: row.reason for row in found.skipped}
    assert sorted(reasons) == list(range(3, 15))
    assert reasons[3] == "latitude_deg: 'x' is no number from -90 to 90"
    assert reasons[5].startswith("longitude_east_deg: 400.0")
    assert reasons[6].startswith("diameter_km: empty")
    assert reasons[10] == "minor_km: 5.0 exceeds the major axis"
    assert reasons[12].startswith("major_km: 'y'")
    assert found.summary().startswith("12 of 14 rows skipped (line 3: latitude_deg")


def test_ids_are_unique_and_the_same_each_time(tmp_path: Path) -> None:
    text = f"id,{OURS}\na,1,2,3\na,3,4,5\n,5,6,7\nb,7,8,9\na@3,8,9,2\n"
    ids = read(tmp_path, text).catalog.id.tolist()
    assert ids == ["b", "line4", "a@3'", "a", "a@3"]
    assert ids == read(tmp_path, text).catalog.id.tolist()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        (f"{OURS}\n", "no usable crater in 0 rows"),
        (f"{OURS}\nx,y,z\n", "no usable crater in 1 rows; line 2: latitude_deg: 'x'"),
        ("a,b,c\n1,2,3\n", "column latitude_deg: missing"),
        ("latitude_deg,diameter_km\n1,2\n", "column longitude_east_deg: missing"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 50, "missing"),
        (f'id,{OURS}\n"{"a" * 200_000}",1,2,3\n', "not a CSV text file"),
    ],
)
def test_files_that_are_no_catalogue_are_refused(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        read(tmp_path, text)
    assert "c.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_absent_and_oversized_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_catalog(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_catalog(tmp_path)
    text = f"{OURS}\n" + "1,2,3\n" * 5
    monkeypatch.setattr(catalog_file, "MOST_ROWS", 4)
    with pytest.raises(InputError, match="more than 4 rows"):
        read(tmp_path, text)
    monkeypatch.setattr(catalog_file, "MOST_BYTES", 20)
    with pytest.raises(InputError, match="larger than 20 bytes"):
        read(tmp_path, text)


def test_a_catalogue_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = (
        f'id,{OURS},major_km,minor_km,angle_deg\na,10,170,3,3.2,2.8,-60\n"b, c",-2,-180,8,8,8,0\n'
    )
    first = read(tmp_path, text).catalog
    write_catalog(tmp_path / "again.csv", first, {"source": ["x", "y"]})
    second = read_catalog(tmp_path / "again.csv").catalog
    assert first.id.tolist() == second.id.tolist()
    for name in ("latitude", "longitude", "diameter_m", "major_m", "minor_m", "angle"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.floats(20.0, 800.0),
    st.tuples(st.floats(-89.0, 89.0), st.floats(-180.0, 180.0)),
)
def test_possible_populations_pass(seed: int, count: int, side_km: float, at: Any) -> None:
    craters = population(np.random.default_rng(seed), count, side_km, at)
    assert implausible_units(*craters) is None


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 400),
    st.floats(20.0, 400.0),
    st.tuples(st.floats(-70.0, 70.0), st.floats(-180.0, 180.0)),
)
def test_the_same_in_radians_or_metres_are_refused(
    seed: int, count: int, side_km: float, at: Any
) -> None:
    rng = np.random.default_rng(seed)
    latitude, longitude, diameter = population(rng, count, side_km, at)
    radians = implausible_units(np.radians(latitude), np.radians(longitude), diameter)
    assert radians is not None and "radians" in radians
    metres = implausible_units(latitude, longitude, 1000.0 * diameter)
    assert metres is not None and "metres" in metres


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-90.0, 90.0), st.floats(-180.0, 180.0), st.floats(0.01, 300.0)),
        min_size=1,
        max_size=6,
    )
)
def test_a_handful_is_never_refused(craters: list[tuple[float, float, float]]) -> None:
    latitude, longitude, diameter = np.array(craters).T
    assert implausible_units(latitude, longitude, np.minimum(diameter, 299.0)) is None


def test_chains_nests_and_merged_lists_pass() -> None:
    # Catena Davy: 23 craters in a row, 1 to 3 km, touching one another.
    chain = np.linspace(0.0, 1.55, 23)
    assert implausible_units(-11.0 + 0.3 * chain, -7.0 + chain, np.full(23, 2.0)) is None
    nest = np.full(4, 12.0)
    assert implausible_units(nest, nest, np.array([80.0, 40.0, 20.0, 10.0])) is None


@pytest.mark.parametrize(
    "name", [f"{name}_craters_1km" for name in CATALOGS] + ["lunar_craters_5km"]
)
def test_real_catalogues_pass_and_swapped_units_are_refused(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    found = read_catalog(data_dir / "catalogs" / f"{name}.csv")
    assert found.skipped_count == 0 and len(found.catalog) > 1000
    latitude, longitude, diameter = numbers(found.catalog)
    cases = {
        "radians": (np.radians(latitude), np.radians(longitude), diameter),
        "metres": (latitude, longitude, 1000.0 * diameter),
        "metres.*radians|radians.*metres": (
            np.radians(latitude),
            np.radians(longitude),
            1000.0 * diameter,
        ),
    }
    for problem, columns in cases.items():
        text = "\n".join(",".join(f"{v:.7f}" for v in row) for row in zip(*columns))
        with pytest.raises(InputError, match=problem) as caught:
            read(tmp_path, f"{OURS}\n{text}\n")
        assert "c.csv" in str(caught.value) and "convert" in str(caught.value)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(CATALOGS), st.integers(0, 2**32 - 1), st.integers(60, 1000))
def test_any_part_of_a_real_catalogue_is_judged_alike(
    data_dir: Path, name: str, seed: int, count: int
) -> None:
    catalog = read_catalog(data_dir / "catalogs" / f"{name}_craters_1km.csv").catalog
    rng = np.random.default_rng(seed)
    latitude, longitude, diameter = numbers(
        catalog.chosen(rng.choice(len(catalog), count, replace=False))
    )
    assert implausible_units(latitude, longitude, diameter) is None
    assert implausible_units(np.radians(latitude), np.radians(longitude), diameter) is not None
    assert implausible_units(latitude, longitude, 1000.0 * diameter) is not None


def test_many_rows_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_file, "CHUNK_ROWS", 7)
    rng = np.random.default_rng(0)
    latitude, longitude, diameter = population(rng, 100, 500.0, (20.0, 175.0))
    rows = [f"{a:.6f},{b:.6f},{c:.6f}" for a, b, c in zip(latitude, longitude, diameter)]
    rows[50] = "bad,1,2"
    found = read(tmp_path, f"{OURS}\n" + "\n".join(rows) + "\n")
    order = [k for k in np.argsort(-diameter, kind="stable") if k != 50]
    assert found.catalog.id.tolist() == [f"line{k + 2}" for k in order]
    assert [row.line for row in found.skipped] == [52]
