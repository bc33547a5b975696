"""Products: downloads are whole and as listed, or say why not, and go on where they were cut."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from trn.cli.main import main
from trn.errors import InputError, MissingExtraError, WorkError
from trn.maps import fetch as fetching
from trn.maps.fetch import fetch
from trn.maps.products import Product, RemoteFile, known_products, product

pytest.importorskip("pooch", reason="needs the data extra")

DATA = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Archive:
    """A server with one file; what it was asked for, and how it fails."""

    data: bytes = DATA
    tag: str | None = '"one"'
    cut_after: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def file(self, *, listed: bool = True, sha256: str | None = None) -> RemoteFile:
        return RemoteFile(f"{self.url}/moon/dem.tif", len(DATA) if listed else None, sha256)

    def product(self, *, listed: bool = True, sha256: str | None = None) -> Product:
        return Product("dem", "a DEM", "dem", "", (self.file(listed=listed, sha256=sha256),))


class Handler(BaseHTTPRequestHandler):
    archive: Archive

    def do_GET(self) -> None:
        archive = self.archive
        asked = self.headers.get("Range")
        archive.ranges.append(asked)
        start = 0
        if asked is not None and self.headers.get("If-Range") == archive.tag:
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found is not None
            start = int(found[1])
        if start and start >= len(archive.data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(archive.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = archive.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        if archive.tag is not None:
            self.send_header("ETag", archive.tag)
        self.end_headers()
        self.wfile.write(rest[: archive.cut_after])

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Nothing: clients may leave."""


@pytest.fixture
def archive() -> Iterator[Archive]:
    served = Archive()
    handler = type("Served", (Handler,), {"archive": served})
    server = Server(("127.0.0.1", 0), handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_is_recorded(archive: Archive, tmp_path: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    (path,) = fetch(archive.product(), tmp_path / "out", lambda *each: seen.append(each))
    assert path.read_bytes() == DATA
    assert names(path.parent) == {"dem.tif", "dem.tif.sha256"}
    assert (path.parent / "dem.tif.sha256").read_text() == f"{SHA256}  dem.tif\n"
    assert seen[-1] == ("dem.tif", len(DATA), len(DATA))


def test_what_is_there_is_checked_and_not_fetched_again(archive: Archive, tmp_path: Path) -> None:
    fetch(archive.product(), tmp_path)
    fetch(archive.product(), tmp_path)
    assert len(archive.ranges) == 1
    damaged = bytearray(DATA)
    damaged[77] ^= 1
    (tmp_path / "dem.tif").write_bytes(damaged)
    with pytest.raises(InputError, match=r"dem\.tif: its SHA-256"):
        fetch(archive.product(), tmp_path)
    assert (tmp_path / "dem.tif").read_bytes() == damaged, "nobody's file is touched"


def test_a_download_cut_off_goes_on_from_there(archive: Archive, tmp_path: Path) -> None:
    archive.cut_after = 1_234_567
    with pytest.raises(WorkError, match="goes on from there") as caught:
        fetch(archive.product(sha256=SHA256), tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == {"dem.tif.part", "dem.tif.tag"}
    there = (tmp_path / "dem.tif.part").stat().st_size
    assert 0 < there <= 1_234_567
    archive.cut_after = None
    (path,) = fetch(archive.product(sha256=SHA256), tmp_path)
    assert path.read_bytes() == DATA
    assert archive.ranges == [None, f"bytes={there}-"]
    assert names(tmp_path) == {"dem.tif"}


@pytest.mark.parametrize(("there", "comes"), [(DATA, True), (DATA + b"more", False)])
def test_a_part_that_is_whole_is_taken_and_one_too_long_is_dropped(
    there: bytes, comes: bool, archive: Archive, tmp_path: Path
) -> None:
    """As a run leaves it that is killed at the very end."""
    (tmp_path / "dem.tif.part").write_bytes(there)
    (tmp_path / "dem.tif.tag").write_text('"one"')
    if not comes:
        with pytest.raises(WorkError, match="fetch again"):
            fetch(archive.product(sha256=SHA256), tmp_path)
    (path,) = fetch(archive.product(sha256=SHA256), tmp_path)
    assert path.read_bytes() == DATA and names(tmp_path) == {"dem.tif"}


@pytest.mark.parametrize("tag", ['"two"', 'W/"one"', None])
def test_another_version_is_not_joined_to_the_part(
    tag: str | None, archive: Archive, tmp_path: Path
) -> None:
    """Nor is one of which the server does not say that it is the same."""
    archive.cut_after = 1_000_000
    if tag != '"two"':
        archive.tag = tag
    with pytest.raises(WorkError, match="goes on from there" if tag == '"two"' else "anew"):
        fetch(archive.product(), tmp_path)
    archive.cut_after, archive.tag, archive.data = None, tag, DATA[::-1]
    (path,) = fetch(archive.product(), tmp_path)
    assert path.read_bytes() == DATA[::-1]


def test_what_is_not_as_listed_is_dropped(archive: Archive, tmp_path: Path) -> None:
    archive.data = DATA[::-1]
    with pytest.raises(WorkError, match="not the SHA-256 that is listed"):
        fetch(archive.product(sha256=SHA256), tmp_path)
    assert names(tmp_path) == set()
    archive.data = DATA + b"more"
    with pytest.raises(WorkError, match="the product has changed"):
        fetch(archive.product(), tmp_path)
    assert names(tmp_path) == set()


def test_a_file_of_another_length_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "dem.tif").write_bytes(DATA[:1000])
    with pytest.raises(InputError, match=r"1000 bytes instead of 3000000"):
        fetch(archive.product(), tmp_path)


def test_a_broken_record_is_named(archive: Archive, tmp_path: Path) -> None:
    fetch(archive.product(), tmp_path)
    (tmp_path / "dem.tif.sha256").write_text("?")
    with pytest.raises(InputError, match=r"dem\.tif\.sha256: no SHA-256"):
        fetch(archive.product(), tmp_path)


def test_a_full_disk_is_said_before(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_SPARE_BYTES", 10**18)
    with pytest.raises(InputError, match="3000000 are to come"):
        fetch(archive.product(), tmp_path)


def test_no_server_is_one_line(tmp_path: Path) -> None:
    nowhere = Product("dem", "", "dem", "", (RemoteFile("http://127.0.0.1:9/dem.tif"),))
    with pytest.raises(WorkError, match="stopped at 0 bytes"):
        fetch(nowhere, tmp_path)


def test_without_pooch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"lunar-trn\[data\]"):
        fetch(known_products()["lola-474m"], tmp_path)


def test_products_are_listed_as_they_should_be() -> None:
    for name, each in known_products().items():
        assert name == each.name and each.title and each.use in ("dem", "albedo")
        for file in each.files:
            assert file.url.startswith("https://") and re.fullmatch(r"[\w.-]+", file.name)
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    label = known_products()["lola-474m"].main_file.name
    assert label == "ldem_64_float.lbl", "GDAL opens the label of an image without one"
    # 23040 x 11520 floats (its label); one record of label and 15360 lines of 23040 heights.
    assert known_products()["lola-474m"].size_bytes == 23040 * 11520 * 4
    assert known_products()["gld100-n045"].size_bytes == 46080 * 15361
    assert known_products()["lola-118m"].size_bytes is None


def test_an_unknown_product_is_told_the_known_ones() -> None:
    with pytest.raises(InputError, match="'mars': no known product; choose one of gld100-100m"):
        product("mars")


def test_the_commands_list_and_fetch(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(["data", "list"])
    assert ended.value.code == 0
    assert "gld100-100m" in capsys.readouterr().out
    monkeypatch.setattr("trn.maps.products.known_products", lambda: {"dem": archive.product()})
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "dem", "--out", str(tmp_path)])
    assert ended.value.code == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(tmp_path / "dem.tif") and out[1].startswith("next: trn map build --dem")
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "mars", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_listing_imports_neither_pooch_nor_requests() -> None:
    program = (
        "import sys; from trn.maps.products import known_products; known_products();"
        "sys.exit('pooch' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
