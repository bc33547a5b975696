"""Resources are found, and nothing outside their rooms is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trn import resources
from trn.errors import InputError
from trn.resources import resource_path


@pytest.mark.parametrize("room", ["kernels", "datasets", "models"])
def test_a_resource_is_found(room: resources.Room) -> None:
    assert resource_path(room, "README.md").read_text().startswith("# ")


def test_a_wheel_carries_its_resources_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "trn" / "_resources" / "datasets" / "scenario.toml"
    bundled.parent.mkdir(parents=True)
    bundled.write_text("")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "trn")
    assert resource_path("datasets", "scenario.toml") == bundled.resolve()


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "a/../../models/README.md"])
def test_a_name_cannot_lead_out_of_its_room(name: str) -> None:
    with pytest.raises(InputError, match="leads out of datasets/"):
        resource_path("datasets", name)


def test_a_link_cannot_lead_out_of_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "models"
    room.mkdir()
    (tmp_path / "secret").write_text("")
    (room / "weights").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "trn")
    with pytest.raises(InputError, match="leads out of models/"):
        resource_path("models", "weights")


@given(st.text(max_size=300))
def test_any_name_gives_a_path_inside_the_room_or_an_input_error(name: str) -> None:
    room = resource_path("datasets", ".")
    try:
        assert resource_path("datasets", name).is_relative_to(room)
    except InputError as error:
        assert "\n" not in str(error)


def test_what_is_not_there_and_unknown_rooms_are_input_errors() -> None:
    with pytest.raises(InputError, match=r"datasets: 'absent\.toml' is not there"):
        resource_path("datasets", "absent.toml")
    with pytest.raises(InputError, match="choose one of kernels, datasets, models"):
        resource_path("secrets", "key")  # type: ignore[arg-type]
