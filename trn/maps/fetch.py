"""Downloads of LRO products: gone on with where they were cut off, and checked.

A file is under its own name only once it is whole and as listed; until then it is NAME.part. Where
no SHA-256 is listed the length is checked, and the SHA-256 that the file then has is written to
NAME.sha256 (as sha256sum does), which later runs check it against.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from trn.errors import InputError, MissingExtraError, WorkError
from trn.files import write_whole
from trn.maps.manifest import sha256_of
from trn.maps.products import Product, RemoteFile

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0
_SPARE_BYTES = 50_000_000

Progress = Callable[[str, float, float], None]


def fetch(product: Product, folder: Path, progress: Progress | None = None) -> list[Path]:
    """The product's files in a folder, downloaded where they are not there yet; whole and checked.

    progress: called with a file's name, the bytes that are there and all of them. Raises
    MissingExtraError without pooch, InputError for a file that is there and not as listed,
    WorkError where the download fails: what has come stays, and the next call goes on from it.
    """
    pooch = _pooch()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); give another --out"
        ) from error
    return [_fetched(pooch, file, folder, progress or _silent) for file in product.files]


def _silent(_part: str, _done: float, _total: float) -> None:
    """No progress."""


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(
            "trn data fetch: pooch is not installed; pip install 'lunar-trn[data]'"
        ) from error
    pooch.get_logger().setLevel("ERROR")
    return pooch


def _fetched(pooch: Any, file: RemoteFile, folder: Path, progress: Progress) -> Path:
    path, record = folder / file.name, folder / f"{file.name}.sha256"
    recorded = file.sha256 or _recorded(record)
    if path.exists():
        own = sha256_of(path)
        if recorded is not None and own != recorded:
            raise InputError(
                f"{path}: its SHA-256 is not the one listed; move the file away and fetch it again"
            )
        if recorded is None and file.size_bytes not in (None, path.stat().st_size):
            raise InputError(
                f"{path}: {path.stat().st_size} bytes instead of {file.size_bytes}; move the file "
                "away and fetch it again"
            )
        if file.sha256 is None:
            write_whole(record, f"{own}  {path.name}\n")
        return path
    part = folder / f"{file.name}.part"

    def download(url: str, output_file: str, _cache: Any, check_only: bool = False) -> None:
        _download(replace(file, url=url), part, progress)
        part.replace(output_file)
        part.with_suffix(".tag").unlink(missing_ok=True)

    try:
        pooch.retrieve(file.url, file.sha256, fname=file.name, path=folder, downloader=download)
    except ValueError as error:  # Of pooch, where the hash is another.
        raise WorkError(
            f"{file.url}: what came has not the SHA-256 that is listed; it was dropped: try again, "
            "or report that the product has changed"
        ) from error
    if file.sha256 is None:
        write_whole(record, f"{sha256_of(path)}  {path.name}\n")
    return path


def _recorded(record: Path) -> str | None:
    """The SHA-256 of an earlier download."""
    if not record.exists():
        return None
    text = record.read_text(encoding="utf-8", errors="replace")[:200]
    found = re.match(r"[0-9a-f]{64}\b", text)
    if found is None:
        raise InputError(f"{record}: no SHA-256 in it; delete it to have the file checked anew")
    return found[0]


def _download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Bring NAME.part to its full length, from where it is.

    The server is asked for the rest of the same version of the file (If-Range with its entity tag,
    RFC 9110 section 13.1.5), and sends all of it where that has changed.
    """
    import requests

    tag = part.with_suffix(".tag")
    start = part.stat().st_size if part.exists() and tag.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text(encoding="utf-8")}
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{start}":
                    return  # All of it is there.
                part.unlink(missing_ok=True)
                raise WorkError(f"{file.url}: the part that was there does not fit; fetch again")
            answer.raise_for_status()
            if answer.status_code != 206:
                start = 0
            whole = _length(file, answer.headers, start)
            _check_room(part, (whole or 0) - start)
            entity = answer.headers.get("ETag", "")
            # A weak tag does not vouch for single bytes.
            if entity and not entity.startswith("W/"):
                write_whole(tag, entity)
            else:
                tag.unlink(missing_ok=True)
            done = start
            with part.open("ab" if start else "wb") as out:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    done += len(chunk)
                    if whole is not None and done > whole:
                        raise WorkError(f"{file.url}: more than its {whole} bytes came; stopped")
                    out.write(chunk)
                    progress(file.name, float(done), float(whole or done))
    except (requests.RequestException, OSError) as error:
        there = part.stat().st_size if part.exists() else 0
        text = " ".join(str(error).split())[:200]
        raise WorkError(
            f"{file.url}: the download stopped at {there} bytes ({text}); {_remedy(tag)}"
        ) from error
    if whole is not None and done < whole:
        raise WorkError(
            f"{file.url}: the download stopped at {done} of {whole} bytes; {_remedy(tag)}"
        )


def _remedy(tag: Path) -> str:
    if tag.exists():
        return "the same command goes on from there"
    return "the same command fetches it anew, as the server names no version to go on with"


def _length(file: RemoteFile, headers: Any, start: int) -> int | None:
    """Bytes of the whole file, as the server says or else as listed; WorkError if these differ."""
    said = headers.get("Content-Length")
    whole = start + int(said) if said is not None and said.isdigit() else None
    if None not in (whole, file.size_bytes) and whole != file.size_bytes:
        raise WorkError(
            f"{file.url}: the server has {whole} bytes instead of the {file.size_bytes} listed; "
            "the product has changed: report it"
        )
    return file.size_bytes if whole is None else whole


def _check_room(part: Path, wanted_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < wanted_bytes + _SPARE_BYTES:
        raise InputError(
            f"{part.parent}: {free} bytes are free and {wanted_bytes} are to come; give another "
            "--out"
        )
