"""Where kernel sources, scenarios and network weights lie, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from trn.errors import InputError

Room = Literal["kernels", "datasets", "models"]

_PACKAGE = Path(__file__).resolve().parent


def resource_path(room: Room, name: str) -> Path:
    """The existing file or folder `name` (relative, with `/`) of one of the resource rooms.

    Raises InputError for an unknown room, for a name that leads out of its room (absolute, `..`, or
    by a link) and for one that is not there.
    """
    if room not in get_args(Room):
        raise InputError(f"{room}: no such resources; choose one of {', '.join(get_args(Room))}")
    bundled = _PACKAGE / "_resources"
    base = ((bundled if bundled.is_dir() else _PACKAGE.parent) / room).resolve()
    try:
        path = (base / name).resolve()
        inside, there = path.is_relative_to(base), path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{room}: {name!r} is not a usable name") from error
    if not inside:
        raise InputError(f"{room}: {name!r} leads out of {room}/; give a relative name without ..")
    if not there:
        raise InputError(f"{room}: {name!r} is not there; look in {base} for what is")
    return path
