"""map.toml is read with care: it comes from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trn.errors import InputError
from trn.maps.manifest import (
    MANIFEST_NAME,
    Bounds,
    Checksum,
    Datum,
    Elevation,
    Manifest,
    Source,
    damage,
    read_manifest,
    sha256_of,
    write_manifest,
)

SOME_SHA256 = "0" * 64


def manifest(file: str = "elevation.tif", name: str = "site") -> Manifest:
    return Manifest(
        name=name,
        datum=Datum(),
        bounds=Bounds(
            latitude_min_deg=1.0,
            latitude_max_deg=2.0,
            longitude_west_deg=179.0,
            longitude_east_deg=-179.0,
        ),
        elevation=Elevation(
            file=file,
            projection="geographic",
            resolutions_m=[118.0, 236.0],
            height_min_m=-10.0,
            height_max_m=20.0,
            height_sigma_m=15.0,
        ),
        files={file: Checksum(bytes=3, sha256=SOME_SHA256)},
        sources=[Source(name="dem.tif", sha256=SOME_SHA256)],
    )


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("m")
    write_manifest(folder, manifest(name=name))
    assert read_manifest(folder) == manifest(name=name)


@pytest.mark.parametrize(
    "name", ["../elevation.tif", "/etc/passwd", "a/b.tif", "..", ".hidden", "map.toml", "", "a\nb"]
)
def test_file_names_cannot_leave_the_map(tmp_path: Path, name: str) -> None:
    write_manifest(tmp_path, manifest())
    path = tmp_path / MANIFEST_NAME
    escaped = name.replace("\n", "\\n")
    path.write_text(path.read_text().replace("elevation.tif", escaped))
    with pytest.raises(InputError, match=r"map\.toml: .*(file|elevation)"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("height_sigma_m = 15.0", "height_sigma_m = -1.0", "elevation.height_sigma_m"),
        ("height_sigma_m = 15.0", "height_sigma_m = nan", "elevation.height_sigma_m"),
        ("height_sigma_m = 15.0", "", "elevation.height_sigma_m"),
        ("radius_m = 1737400.0", "radius_m = 6378137.0", "datum.radius_m"),
        ("format = 1", "format = 2", "format"),
        ("latitude_max_deg = 2.0", "latitude_max_deg = 92.0", "bounds.latitude_max_deg"),
        ('projection = "geographic"', 'projection = "flat"', "elevation.projection"),
        ("bytes = 3", "bytes = 3\nextra = 1", "extra"),
        ("[datum]", "[datum", "not TOML"),
        (f'bytes = 3\nsha256 = "{SOME_SHA256}"', 'bytes = 3\nsha256 = "x"', "sha256"),
        ('[files."elevation.tif"]', '[files."other.tif"]', "files: no checksum of elevation.tif"),
    ],
)
def test_a_malformed_manifest_is_refused_by_field(
    tmp_path: Path, before: str, after: str, field: str
) -> None:
    write_manifest(tmp_path, manifest())
    path = tmp_path / MANIFEST_NAME
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(InputError) as caught:
        read_manifest(tmp_path)
    assert field in str(caught.value) and MANIFEST_NAME in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_manifest_no_map(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no map\.toml"):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match=r"no map\.toml"):
        read_manifest(tmp_path / "absent.map")
    (tmp_path / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST_NAME).write_bytes(b"#" * (2 << 20))
    with pytest.raises(InputError, match="larger than"):
        read_manifest(tmp_path)


def test_damage_tells_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "a.map"
    folder.mkdir()
    file = folder / "f.bin"
    file.write_bytes(b"abc")
    good = Checksum(bytes=3, sha256=sha256_of(file))
    # SHA-256 of "abc": FIPS 180-4, example B.1.
    assert good.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert damage(folder, "f.bin", good) is None
    file.write_bytes(b"abd")
    assert "SHA-256" in str(damage(folder, "f.bin", good))
    file.write_bytes(b"ab")
    assert "2 bytes" in str(damage(folder, "f.bin", good))
    file.unlink()
    assert damage(folder, "f.bin", good) == "missing"
    elsewhere = tmp_path / "f.bin"
    elsewhere.write_bytes(b"abc")
    file.symlink_to(elsewhere)
    assert "link" in str(damage(folder, "f.bin", good))
