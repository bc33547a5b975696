"""map.toml: what a map holds, and the SHA-256 by which damage shows."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trn.errors import InputError
from trn.maps.grid import Projection
from trn.moon.constants import REFERENCE_RADIUS_M

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST_NAME = "map.toml"
MAX_MANIFEST_BYTES = 1 << 20
FORMAT = 1


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name) or name == MANIFEST_NAME:
        raise ValueError(f"{name!r} is not a plain file name inside the map")
    return name


FileName = Annotated[str, AfterValidator(_plain_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Datum(_Model):
    """What heights and coordinates refer to."""

    frame: Annotated[str, Field(pattern="^MOON_ME$")] = "MOON_ME"
    radius_m: Annotated[float, Field(ge=REFERENCE_RADIUS_M, le=REFERENCE_RADIUS_M)] = (
        REFERENCE_RADIUS_M
    )


class Bounds(_Model):
    """A region in degrees; east is less than west where it crosses longitude 180."""

    latitude_min_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    latitude_max_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude_west_deg: Annotated[float, Field(ge=-180.0, le=180.0)]
    longitude_east_deg: Annotated[float, Field(ge=-180.0, le=180.0)]


class Elevation(_Model):
    """The height raster."""

    file: FileName
    projection: Projection
    resolutions_m: Annotated[list[Annotated[float, Field(gt=0.0)]], Field(min_length=1)]
    height_min_m: float
    height_max_m: float
    height_sigma_m: Annotated[float, Field(gt=0.0)]


class Layer(_Model):
    """Another file of the map."""

    file: FileName


class Source(_Model):
    """A product the map was made from."""

    name: str
    sha256: Sha256


class Checksum(_Model):
    """What a file of the map must be."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Manifest(_Model):
    """All of map.toml."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    name: str
    datum: Datum
    bounds: Bounds
    elevation: Elevation
    albedo: Layer | None = None
    craters: Layer | None = None
    files: dict[FileName, Checksum]
    sources: list[Source]

    def layers(self) -> list[FileName]:
        """The files the map is made of."""
        others = [layer.file for layer in (self.albedo, self.craters) if layer is not None]
        return [self.elevation.file, *others]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read map.toml of a map folder.

    Raises InputError where it is missing, not TOML, lacks a field, or names files that it does not
    list or that lie elsewhere.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{folder}: no {MANIFEST_NAME}; make a map with `trn map build`")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise InputError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes; build the map again")
    try:
        manifest = Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({error}); build the map again") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; build the map again") from error
    for name in manifest.layers():
        if name not in manifest.files:
            raise InputError(f"{path}: files: no checksum of {name}; build the map again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write map.toml into a map folder."""
    text = tomli_w.dumps(manifest.model_dump(exclude_none=True))
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


def damage(folder: Path, name: str, expected: Checksum) -> str | None:
    """What is wrong with a file of a map, or None where its checksum holds."""
    path = folder / name
    if not path.is_file():
        return "missing"
    if path.resolve().parent != folder.resolve():
        return "a link that leads out of the map"
    if path.stat().st_size != expected.bytes:
        return f"damaged ({path.stat().st_size} bytes in place of {expected.bytes})"
    if sha256_of(path) != expected.sha256:
        return "damaged (its SHA-256 differs from map.toml)"
    return None
