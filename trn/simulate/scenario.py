"""Scenarios: what a synthetic descent is made of, read from TOML.

Every number of the scenarios that come with trn has its source beside it, in the table [sources].
"""

from __future__ import annotations

import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trn.errors import InputError, quoted
from trn.moon.sun import parse_utc
from trn.resources import resource_path
from trn.simulate.faults import parse_fault

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_FILE_BYTES = 1_000_000
MOST_DURATION_S = 20_000.0
SCENARIOS = "scenarios"

Positive = Annotated[float, Field(gt=0.0, le=1e9)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e9)]
Rate = Annotated[float, Field(ge=0.01, le=1000.0)]
Degrees = Annotated[float, Field(ge=-180.0, le=180.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
FileName = Annotated[str, Field(min_length=1, max_length=200)]


def _utc(text: str) -> str:
    try:
        parse_utc(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _fault(text: str) -> str:
    try:
        parse_fault(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


Utc = Annotated[str, AfterValidator(_utc)]
FaultText = Annotated[str, AfterValidator(_fault)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=False)


class Site(_Table):
    """Where the descent is aimed at."""

    latitude_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude_east_deg: Degrees


class Descent(_Table):
    """A powered descent (`trn.simulate.descent.DescentPlan`), angles in degrees."""

    kind: Literal["descent"] = "descent"
    heading_deg: Annotated[float, Field(ge=0.0, le=360.0)]
    apoapsis_height_m: Positive = 100_000.0
    periapsis_height_m: Positive = 15_000.0
    coast_s: NotNegative = 0.0
    gate_altitude_m: Positive = 2_000.0
    gate_speed_m_per_s: Positive = 100.0
    vertical_altitude_m: Positive = 150.0
    vertical_speed_m_per_s: Positive = 5.0
    touchdown_altitude_m: Positive = 20.0
    touchdown_speed_m_per_s: Positive = 1.0
    plunge_altitude_m: Positive | None = None
    plunge_speed_m_per_s: Positive | None = None
    mass_kg: Positive = 1000.0
    specific_impulse_s: Positive = 320.0


class CsvTrajectory(_Table):
    """A trajectory from a CSV file, named from where the scenario lies."""

    kind: Literal["csv"]
    file: FileName


class SpkTrajectory(_Table):
    """A trajectory from SPICE kernels, named from where the scenario lies."""

    kind: Literal["spk"]
    kernels: Annotated[list[FileName], Field(min_length=1, max_length=20)]
    target: Annotated[str, Field(min_length=1, max_length=80)]
    begin_utc: Utc
    end_utc: Utc
    frame: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,32}$")] = "MOON_ME"


class CameraSettings(_Table):
    """The descent camera; tilt_deg is out of the vehicle's -z axis towards the ground."""

    width: Annotated[int, Field(ge=16, le=4096)] = 1024
    height: Annotated[int, Field(ge=16, le=4096)] = 1024
    field_of_view_deg: Annotated[float, Field(ge=1.0, le=120.0)] = 60.0
    distortion: tuple[float, float, float, float] = (-0.04, 0.01, 0.0, 0.0)
    tilt_deg: Degrees = 40.0
    rate_hz: Rate = 1.0
    bits: Annotated[int, Field(ge=8, le=12)] = 8
    blur_sigma_px: Annotated[float, Field(ge=0.0, le=20.0)] = 0.5
    exposure_s: Positive | None = None
    most_exposure_s: Annotated[float, Field(ge=2e-5, le=1.0)] = 0.01
    plume_dust: Annotated[float, Field(ge=0.0, le=20.0)] = 0.0
    last_altitude_m: Annotated[float, Field(ge=1.0, le=1e6)] = 3.0


class AltimeterSettings(_Table):
    """The range finder; what is left out is its preset's.

    tilts_deg: of its beams, out of the vehicle's -z axis towards the ground; the beam that is
    nearest to nadir is read.
    """

    preset: Literal["laser", "radar"] = "laser"
    rate_hz: Rate = 10.0
    tilts_deg: Annotated[list[Degrees], Field(min_length=1, max_length=4)] = [78.0, 10.0]
    beam_rad: Positive | None = None
    minimum_range_m: NotNegative | None = None
    maximum_range_m: Positive | None = None
    noise_m: NotNegative | None = None
    noise_of_range: Share | None = None
    noise_of_spread: NotNegative | None = None
    resolution_m: NotNegative | None = None
    dropouts: Share | None = None
    latency_s: Annotated[float, Field(ge=0.0, le=10.0)] | None = None


class ImuSettings(_Table):
    """The inertial measurement unit."""

    grade: Literal["perfect", "navigation", "tactical"] = "navigation"
    rate_hz: Annotated[float, Field(ge=1.0, le=1000.0)] = 100.0


class StarTrackerSettings(_Table):
    """The star tracker."""

    rate_hz: Rate = 2.0


class TerrainSettings(_Table):
    """The true ground: what is added to the map, and the made region where there is no map.

    map_error_m: 1 sigma of what the map does not know of the ground at one to four of its pixels.
    """

    region: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
    map_error_m: Annotated[float, Field(ge=0.0, le=1000.0)] = 8.0
    fractal: Annotated[float, Field(ge=0.0, le=10.0)] = 1.0
    craters: Annotated[float, Field(ge=0.0, le=10.0)] = 1.0


class InitialState(_Table):
    """1 sigma of the navigation state that is handed over at the start."""

    position_sigma_m: NotNegative = 1000.0
    velocity_sigma_m_per_s: NotNegative = 1.0


class FaultSettings(_Table):
    """Faults that belong to the scenario, and when those begin that name no onset."""

    default_onset_s: NotNegative = 60.0
    always: Annotated[list[FaultText], Field(max_length=32)] = []


class Scenario(_Table):
    """One descent."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)]
    end_utc: Utc
    truth_rate_hz: Rate = 10.0
    site: Site
    trajectory: Annotated[Descent | CsvTrajectory | SpkTrajectory, Field(discriminator="kind")]
    camera: CameraSettings = CameraSettings()
    altimeter: AltimeterSettings = AltimeterSettings()
    imu: ImuSettings = ImuSettings()
    star_tracker: StarTrackerSettings = StarTrackerSettings()
    terrain: TerrainSettings
    initial_state: InitialState = InitialState()
    faults: FaultSettings = FaultSettings()
    sources: dict[str, Annotated[str, Field(max_length=2000)]] = {}

    @model_validator(mode="after")
    def _rates_divide(self) -> Scenario:
        """Every image, and every state of the truth, falls on a sample of the IMU."""
        for name, rate in (
            ("truth_rate_hz", self.truth_rate_hz),
            ("camera.rate_hz", self.camera.rate_hz),
            ("star_tracker.rate_hz", self.star_tracker.rate_hz),
        ):
            every = self.imu.rate_hz / rate
            if abs(every - round(every)) > 1e-9 * every or every < 1.0:
                raise ValueError(f"{name} must divide imu.rate_hz ({self.imu.rate_hz:g})")
        every = self.truth_rate_hz / self.camera.rate_hz
        if abs(every - round(every)) > 1e-9 * every:
            raise ValueError(f"camera.rate_hz must divide truth_rate_hz ({self.truth_rate_hz:g})")
        return self


def scenario_names() -> list[str]:
    """Names of the scenarios that come with trn."""
    return sorted(path.stem for path in resource_path("datasets", SCENARIOS).glob("*.toml"))


def scenario_path(name: str) -> Path:
    """The file of a scenario: one that comes with trn, by name, or any path ending in .toml.

    Raises InputError where there is none.
    """
    if name.endswith(".toml"):
        return Path(name)
    if name not in scenario_names():
        raise InputError(
            f"scenario {quoted(name)} is not known; choose one of {', '.join(scenario_names())}, "
            "or give a path that ends in .toml"
        )
    return resource_path("datasets", f"{SCENARIOS}/{name}.toml")


def load_scenario(path: Path) -> Scenario:
    """Read a scenario; raises InputError naming file, field and remedy."""
    return parse_scenario(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a scenario file; raises InputError where it cannot be read, or is too large."""
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path}: larger than 1 MB; give a scenario of a few kB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario of a TOML text; source names it in errors. Raises InputError."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{source}: not TOML ({error}); correct it") from error
    trajectory = document.get("trajectory")
    if isinstance(trajectory, dict):
        trajectory.setdefault("kind", "descent")
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "scenario"
        field = re.sub(r"^trajectory\.(descent|csv|spk)\.", "trajectory.", field)
        raise InputError(f"{source}: {field}: {_remedy(first)}") from error


def _remedy(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "no such field; remove it"
    if problem["type"] == "missing":
        return "is missing; add it"
    message = str(problem["msg"]).removeprefix("Value error, ")
    value = problem.get("input")
    return message if isinstance(value, dict) else f"{message}, not {quoted(value)}"


def end_time(scenario: Scenario) -> datetime:
    """When the trajectory ends, UTC."""
    moment = parse_utc(scenario.end_utc)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
