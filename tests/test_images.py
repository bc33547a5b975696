"""Images are read whole and as they are, or refused in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trn.camera import Camera
from trn.errors import InputError
from trn.images import check_image_for_camera, halved, load_image

PIXELS = np.random.default_rng(0).integers(0, 2**16, (24, 32)).astype(np.uint16)
_, ENCODED = cv2.imencode(".png", PIXELS)
DATA = ENCODED.tobytes()
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pixels_come_back_as_stored(tmp_path: Path, dtype: type, suffix: str) -> None:
    pixels = PIXELS.astype(dtype)
    path = tmp_path / f"frame{suffix}"
    cv2.imwrite(str(path), pixels)
    loaded = load_image(path)
    assert loaded.dtype == dtype
    assert (loaded == pixels).all()


@RELAXED
@given(length=st.integers(0, len(DATA) - 1))
def test_any_cut_of_a_png_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(DATA[:length])
    with pytest.raises(InputError, match=r"cut\.png"):
        load_image(path)


@RELAXED
@given(place=st.integers(8, len(DATA) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_refused(tmp_path: Path, place: int, flip: int) -> None:
    data = bytearray(DATA)
    data[place] ^= flip
    path = tmp_path / "changed.png"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"changed\.png"):
        load_image(path)


def test_a_png_that_claims_a_huge_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 2**20, 2**20, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + DATA[33:])
    with pytest.raises(InputError, match="more than is read"):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a" + bytes(40)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a PNG, TIFF or JPEG"):
        load_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.png: cannot be read"):
        load_image(tmp_path / "absent.png")


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4), np.uint8), np.zeros((4, 4), np.int32)]
)
def test_an_image_that_does_not_belong_to_the_camera_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="frame"):
        check_image_for_camera(image, Camera(4, 4, 4.0, 4.0, 1.5, 1.5), "frame")


def test_halving_takes_the_means_of_two_by_two_pixels_and_leaves_the_odd_rest() -> None:
    image = np.arange(15, dtype=np.float32).reshape(3, 5)
    assert halved(image).tolist() == [[3.0, 5.0]]
