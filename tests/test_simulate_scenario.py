"""A scenario either parses, or is refused in one line that names file, field and remedy."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.simulated import SMALL
from trn.errors import InputError
from trn.simulate.scenario import (
    MOST_FILE_BYTES,
    Scenario,
    end_time,
    load_scenario,
    parse_scenario,
    scenario_names,
    scenario_path,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ["blue-ghost-m1", "hakuto-r-m1", "mare-flat", "resilience", "tycho-highlands"]


def refusal(text: str) -> str:
    """The one line with which a text is refused."""
    with pytest.raises(InputError) as refused:
        parse_scenario(text, "descent.toml")
    line = str(refused.value)
    assert line.startswith("descent.toml: ")
    assert "\n" not in line
    return line


def changed(table: str, **fields: Any) -> str:
    """The small scenario with fields of one table set; "" is the table at the top."""
    document = tomllib.loads(SMALL)
    target = document.setdefault(table, {}) if table else document
    target.update(fields)
    return tomli_w.dumps(document)


def parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        assert isinstance(parse_scenario(text, "descent.toml"), Scenario)
    except InputError as error:
        assert str(error).startswith("descent.toml: ")
        assert "\n" not in str(error)
        assert len(str(error)) < 1000


@settings(deadline=None, max_examples=200)
@given(st.text())
@example("a = 1979-05-27T07:32:00Z")
@example("\x00")
@example("a = " + "[" * 3000)
@example("a = 1" + "0" * 5000)
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    parses_or_is_refused_in_one_line(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
).filter(lambda value: value is not None)
PLACES = [
    (table, field)
    for table, value in tomllib.loads(SMALL).items()
    for field in (value if isinstance(value, dict) else [None])
]


def without_none(value: Any) -> Any:
    """The value as TOML can hold it."""
    if isinstance(value, dict):
        return {key: without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_none(one) for one in value if one is not None]
    return value


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_of_any_field_parses_or_is_refused_in_one_line(
    place: tuple[str, str | None], value: Any
) -> None:
    table, field = place
    document = tomllib.loads(SMALL)
    if field is None:
        document[table] = without_none(value)
    else:
        document[table][field] = without_none(value)
    parses_or_is_refused_in_one_line(tomli_w.dumps(document))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(SMALL) - 1), st.text(min_size=1, max_size=3))
def test_a_damaged_scenario_parses_or_is_refused_in_one_line(place: int, damage: str) -> None:
    parses_or_is_refused_in_one_line(SMALL[:place] + damage + SMALL[place + 1 :])


def test_the_scenarios_that_come_with_trn_are_all_here() -> None:
    assert scenario_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_that_comes_with_trn_has_a_source(name: str) -> None:
    scenario = load_scenario(scenario_path(name))
    assert scenario.name == name
    document = tomllib.loads(scenario_path(name).read_text(encoding="utf-8"))
    sourced = set(document.pop("sources"))
    used = set()
    for field, value in document.items():
        entries = value.items() if isinstance(value, dict) else [(None, value)]
        for inner, one in entries:
            numbers = one if isinstance(one, list) else [one]
            if field != "end_utc" and not any(
                isinstance(number, (int, float)) for number in numbers
            ):
                continue
            # The source of a field, or of its whole table.
            found = {field, f"{field}.{inner}"} & sourced
            assert found, f"{field}.{inner} of {name} has no source"
            used |= found
    assert sourced == used, f"sources of nothing: {sorted(sourced - used)}"
    assert all(len(text) >= 6 for text in scenario.sources.values())


@pytest.mark.parametrize(
    ("table", "fields", "words"),
    [
        ("", {"colour": 1}, ["colour", "no such field"]),
        ("camera", {"colour": 1}, ["camera.colour", "no such field"]),
        ("camera", {"width": "wide"}, ["camera.width", "wide"]),
        ("camera", {"width": 8}, ["camera.width", "16"]),
        ("camera", {"bits": 14}, ["camera.bits", "12"]),
        ("camera", {"rate_hz": 0.0}, ["camera.rate_hz"]),
        ("camera", {"distortion": [0.0, 0.0]}, ["camera.distortion"]),
        ("site", {"latitude_deg": 91.0}, ["site.latitude_deg", "90"]),
        ("site", {"latitude_deg": math.nan}, ["site.latitude_deg"]),
        ("site", {"latitude_deg": math.inf}, ["site.latitude_deg"]),
        ("trajectory", {"kind": "ballistic"}, ["trajectory", "ballistic"]),
        ("trajectory", {"heading_deg": -1.0}, ["trajectory.heading_deg"]),
        ("trajectory", {"mass_kg": 0.0}, ["trajectory.mass_kg"]),
        ("altimeter", {"preset": "sonar"}, ["altimeter.preset", "sonar"]),
        ("altimeter", {"tilts_deg": []}, ["altimeter.tilts_deg"]),
        ("imu", {"grade": "best"}, ["imu.grade", "navigation"]),
        ("terrain", {"region": "../secret"}, ["terrain.region"]),
        ("faults", {"always": ["lrf-tired"]}, ["faults.always", "lrf-stuck"]),
        ("faults", {"always": ["lrf-bias:size=far"]}, ["faults.always", "size"]),
        ("", {"name": "Has Spaces"}, ["name"]),
        ("", {"end_utc": "yesterday"}, ["end_utc", "yesterday"]),
        ("", {"end_utc": "2023-02-30T00:00:00"}, ["end_utc"]),
    ],
)
def test_a_field_that_cannot_be_is_named(
    table: str, fields: dict[str, Any], words: list[str]
) -> None:
    line = refusal(changed(table, **fields))
    for word in words:
        assert word in line


@pytest.mark.parametrize("table", ["site", "trajectory", "terrain", "name", "end_utc"])
def test_what_is_missing_is_named(table: str) -> None:
    document = tomllib.loads(SMALL)
    del document[table]
    line = refusal(tomli_w.dumps(document))
    assert table in line
    assert "missing" in line


@pytest.mark.parametrize(
    ("table", "fields", "word"),
    [
        ("camera", {"rate_hz": 3.0}, "camera.rate_hz"),
        ("star_tracker", {"rate_hz": 7.0}, "star_tracker.rate_hz"),
        ("", {"truth_rate_hz": 100.0}, "truth_rate_hz"),
        ("camera", {"rate_hz": 25.0}, "camera.rate_hz"),
    ],
)
def test_rates_that_do_not_divide_are_named(table: str, fields: dict[str, Any], word: str) -> None:
    line = refusal(changed(table, **fields))
    assert word in line
    assert "divide" in line


def test_the_trajectory_is_a_descent_unless_it_says_otherwise() -> None:
    scenario = parse_scenario(SMALL.replace('kind = "descent"\n', ""), "descent.toml")
    assert scenario.trajectory.kind == "descent"


def test_the_end_is_utc_whether_or_not_it_says_so() -> None:
    bare = parse_scenario(SMALL, "descent.toml")
    marked = parse_scenario(changed("", end_utc="2023-04-26T04:00:00+00:00"), "descent.toml")
    assert end_time(bare) == end_time(marked)
    assert end_time(bare).isoformat() == "2023-04-26T04:00:00+00:00"


def test_an_unknown_name_lists_those_known() -> None:
    with pytest.raises(InputError, match="hakuto-r-m1"):
        scenario_path("apollo-13")


def test_a_path_is_taken_as_it_is_and_named_where_it_cannot_be_read(tmp_path: Path) -> None:
    missing = scenario_path(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        load_scenario(missing)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.toml: not UTF-8"):
        load_scenario(binary)
    large = tmp_path / "large.toml"
    large.write_text("#" * (MOST_FILE_BYTES + 1))
    with pytest.raises(InputError, match=r"large\.toml: larger than 1 MB"):
        load_scenario(large)
