"""Files that are either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from trn.errors import WorkError


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name beside it, then rename it into place.

    Text is written as UTF-8. Raises WorkError naming the file where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkError(
            f"{path}: cannot be written ({error.strerror}); check space and permissions"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what `write_whole` of a killed process left in a folder."""
    for path in folder.glob(".*"):
        if path.is_file() and path.name.rpartition(".")[2].isdigit():
            path.unlink(missing_ok=True)
