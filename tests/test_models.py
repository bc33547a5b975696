"""The committed network files: small, and the ones that the manifest lists."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator

import pytest

from trn.detect.network_model import FILES, MANIFEST
from trn.resources import resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_PARAMETERS = 1_500_000
MOST_BYTES = 6_000_000

_GRAPH, _INITIALIZER, _DIMS = 7, 5, 1
"""Field numbers of onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.dims."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a protocol buffer message: integers, or the bytes of what is nested."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        else:
            length, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _varint(data, at)
            yield number, data[at : at + length]
            at += length


def parameters(data: bytes) -> int:
    """How many numbers the initialisers of an ONNX file hold."""
    total = 0
    for number, graph in _fields(memoryview(data)):
        if number != _GRAPH or isinstance(graph, int):
            continue
        for inner, tensor in _fields(graph):
            if inner != _INITIALIZER or isinstance(tensor, int):
                continue
            dims: list[int] = []
            for field, value in _fields(tensor):
                if field == _DIMS and isinstance(value, int):
                    dims.append(value)
                elif field == _DIMS and isinstance(value, memoryview):
                    at = 0
                    while at < len(value):
                        side, at = _varint(value, at)
                        dims.append(side)
            total += math.prod(dims)
    return total


ENTRIES = tomllib.loads(resource_path("models", MANIFEST).read_text(encoding="utf-8"))["files"]


@pytest.mark.parametrize("precision", sorted(FILES))
def test_at_most_a_million_and_a_half_parameters(precision: str) -> None:
    """Network and refiner together."""
    network = FILES[precision]
    counts = [
        parameters(resource_path("models", name).read_bytes())
        for name in (network, ENTRIES[network]["refiner"])
    ]
    assert min(counts) > 100_000 and sum(counts) <= MOST_PARAMETERS


def test_at_most_six_megabytes_in_all() -> None:
    assert sum(entry["bytes"] for entry in ENTRIES.values()) <= MOST_BYTES


def test_the_manifest_lists_them_as_they_are() -> None:
    networks = set(FILES.values())
    assert set(ENTRIES) == networks | {ENTRIES[network]["refiner"] for network in networks}
    assert {path.name for path in resource_path("models", MANIFEST).parent.glob("*.onnx")} == set(
        ENTRIES
    )
    for name, entry in ENTRIES.items():
        data = resource_path("models", name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert len(data) == entry["bytes"]


def test_the_card_says_what_a_card_should() -> None:
    card = resource_path("models", "MODEL_CARD.md").read_text(encoding="utf-8")
    for part in (
        "models.scenes",
        "models.train",
        "models.train_refiner",
        "models.export",
        "--seed",
        "NAC",
        "licen",
    ):
        assert part in card
