"""dataset.toml and the sensor.yaml files: what they must say, checked field by field."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.spatial.transform import Rotation

from trn.errors import InputError, quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_FILE_BYTES = 1_000_000
FORMAT = 1
_ORTHONORMAL = 1e-3

Positive = Annotated[float, Field(gt=0.0, le=1e9)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e9)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
# Strict: a stamp that passed through a float is no longer exact.
Stamp = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Vector = Annotated[list[Number], Field(min_length=3, max_length=3)]
Name = Annotated[str, Field(max_length=200)]


class _Document(BaseModel):
    # What other tools write beside our fields is theirs.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class MapDocument(_Document):
    """The map that the descent was flown over."""

    name: Name
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    embedded: bool


class InitialStateDocument(_Document):
    """The navigation state handed over."""

    time_ns: Stamp
    position_moon_me_m: Vector
    position_sigma_m: Positive
    velocity_moon_me_m_per_s: Vector
    velocity_sigma_m_per_s: Positive


class FaultDocument(_Document):
    """A fault that the dataset was made with."""

    name: Name
    onset_s: Annotated[float, Field(ge=0.0, le=1e9)]
    size: Number
    duration_s: Annotated[float, Field(ge=0.0, allow_inf_nan=True)]
    direction_east_north: (
        Annotated[list[Annotated[float, Field(ge=-1.0, le=1.0)]], Field(min_length=2, max_length=2)]
        | None
    ) = None


class DatasetDocument(_Document):
    """dataset.toml."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    complete: bool
    scenario: Name
    title: Name = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    start_ns: Stamp
    map: MapDocument
    initial_state: InitialStateDocument
    faults: list[FaultDocument] = []


class PoseDocument(_Document):
    """EuRoC's T_BS, row by row: takes points from a sensor's axes into the vehicle's."""

    data: Annotated[list[Number], Field(min_length=16, max_length=16)]

    def to_sensor(self, source: str) -> Rotation:
        """Vehicle axes to sensor axes; raises InputError naming source where it is no rotation."""
        matrix = np.array(self.data).reshape(4, 4)[:3, :3]
        straight = np.abs(matrix @ matrix.T - np.eye(3)).max() < _ORTHONORMAL
        if not straight or np.linalg.det(matrix) < 0.0:
            raise InputError(f"{source}: is no rotation; give an orthonormal right-handed matrix")
        return Rotation.from_matrix(matrix).inv()

    @property
    def lever_m(self) -> float:
        """Distance of the sensor from the vehicle's origin."""
        return math.hypot(*(self.data[k] for k in (3, 7, 11)))


class SensorDocument(_Document):
    """What the sensor.yaml of every sensor says: where it is mounted."""

    T_BS: PoseDocument


class ImuDocument(SensorDocument):
    """imu0/sensor.yaml."""

    rate_hz: Positive
    gyroscope_noise_density: NotNegative
    gyroscope_random_walk: NotNegative
    gyroscope_bias_sigma: NotNegative
    accelerometer_noise_density: NotNegative
    accelerometer_random_walk: NotNegative
    accelerometer_bias_sigma: NotNegative
    gyroscope_scale: NotNegative = 0.0
    gyroscope_misalignment_rad: NotNegative = 0.0
    accelerometer_scale: NotNegative = 0.0
    accelerometer_misalignment_rad: NotNegative = 0.0


class StarTrackerDocument(_Document):
    """startracker0/sensor.yaml."""

    sigma_rad: Positive
    across_rad: Positive | None = None
    roll_rad: Positive | None = None
    mounting_rad: NotNegative = 0.0


class AltimeterDocument(SensorDocument):
    """altimeter0/sensor.yaml; without beams there is one, T_BS."""

    beams: Annotated[list[PoseDocument], Field(min_length=1, max_length=64)] | None = None
    rate_hz: Positive
    beam_rad: Annotated[float, Field(gt=0.0, lt=1.0)]
    returns: Literal["mean", "first"]
    minimum_range_m: NotNegative
    maximum_range_m: Positive
    noise_m: NotNegative
    noise_of_range: NotNegative
    noise_of_spread: NotNegative
    resolution_m: NotNegative
    dropouts: Share
    latency_s: NotNegative


Document = TypeVar("Document", bound=_Document)


def read_toml(path: Path, kind: type[Document]) -> Document:
    """A TOML file as a document; raises InputError naming file, field and remedy."""
    try:
        return _validated(tomllib.loads(_text(path)), kind, path)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error}); give the file of a dataset") from error


def read_yaml(path: Path, kind: type[Document]) -> Document:
    """A YAML file as a document; raises InputError naming file, field and remedy."""
    try:
        return _validated(yaml.safe_load(_text(path)), kind, path)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not YAML; give the file of a dataset") from error


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: is missing; give a dataset folder such as trn simulate writes")
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path}: over {MOST_FILE_BYTES / 1e6:g} MB; give a file of a few kB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; give the file of a dataset") from error


def _validated(found: Any, kind: type[Document], path: Path) -> Document:
    if not isinstance(found, dict):
        raise InputError(f"{path}: has no fields; give the file of a dataset")
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise InputError(f"{path}: {field} is missing; add it") from None
        value = "" if isinstance(first["input"], dict) else f", not {quoted(first['input'])}"
        raise InputError(f"{path}: {field}: {first['msg']}{value}") from None
