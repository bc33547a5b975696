"""Reading single-channel images that may be damaged or hostile."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trn.camera import Camera
from trn.errors import InputError

MOST_FILE_BYTES = 512 * 1024 * 1024
MOST_PIXELS = 16_384 * 16_384
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*")


def halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    rows, columns = image.shape
    fine = image[: rows // 2 * 2, : columns // 2 * 2]
    return 0.25 * (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2])


def load_image(path: str | Path) -> NDArray[Any]:
    """A single-channel image as it is stored, uint8 or uint16, shape (height, width).

    Reads PNG, TIFF and JPEG. Raises InputError for a file that is missing, damaged, cut off, in
    colour, or too large. A PNG's chunks and checksums are verified, since decoders hand out the
    part of a cut-off file that they have.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path}: larger than 512 MiB; give a single frame")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if data.startswith(PNG_SIGNATURE):
        _check_png(data, path)
    elif data.startswith(JPEG_SIGNATURE):
        if not data.rstrip(b"\x00").endswith(b"\xff\xd9"):
            raise InputError(f"{path}: the JPEG is cut off; copy the file again")
    elif not data.startswith(TIFF_SIGNATURES):
        raise InputError(f"{path}: not a PNG, TIFF or JPEG image")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(
            f"{path}: the image cannot be decoded; copy or convert it again"
        ) from error
    if image is None:
        raise InputError(f"{path}: the image cannot be decoded; copy or convert it again")
    if image.ndim != 2:
        raise InputError(f"{path}: a colour image; convert it to one grey channel")
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: pixels of type {image.dtype}; give 8 or 16 bits")
    return np.asarray(image)


def check_image_for_camera(image: NDArray[Any], camera: Camera, source: str) -> None:
    """Raise InputError unless the image is one channel of the camera's size."""
    if image.ndim != 2:
        raise InputError(f"{source}: shape {image.shape}; give one grey channel (height, width)")
    if image.dtype.kind not in "uf" or image.dtype == np.bool_:
        raise InputError(f"{source}: pixels of type {image.dtype}; give 8 or 16 bits, or float")
    height, width = image.shape
    if (width, height) != (camera.width, camera.height):
        raise InputError(
            f"{source}: {width} x {height} pixels, but the camera has "
            f"{camera.width} x {camera.height}; give the camera file of this image"
        )


def _check_png(data: bytes, path: Path) -> None:
    """Walk the chunks: each whole with a right checksum, IHDR first, IEND last, size bounded."""
    position = len(PNG_SIGNATURE)
    first = True
    while True:
        if position + 12 > len(data):
            raise InputError(f"{path}: the PNG is cut off; copy the file again")
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise InputError(f"{path}: the PNG is cut off; copy the file again")
        (stated,) = struct.unpack(">I", data[end - 4 : end])
        if zlib.crc32(data[position + 4 : end - 4]) != stated:
            raise InputError(f"{path}: the PNG is damaged (checksum); copy the file again")
        if first:
            if kind != b"IHDR" or length != 13:
                raise InputError(f"{path}: the PNG has no header; copy the file again")
            width, height = struct.unpack(">II", data[position + 8 : position + 16])
            if width * height > MOST_PIXELS:
                raise InputError(f"{path}: {width} x {height} pixels is more than is read")
            first = False
        if kind == b"IEND":
            return
        position = end
