"""The crater network: same answers from both runtimes, and plain words for every bad file."""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trn.detect import network_model
from trn.detect.ellipses import diameters
from trn.detect.network import MOST_PIXELS, detect_craters_network
from trn.detect.network_model import open_network
from trn.errors import InputError, MissingExtraError, WorkError
from trn.resources import resource_path
from trn.simulate.craters import EJECTA_REACH, profile_m

Array = NDArray[np.float64]

REFINER = "crater_refiner.onnx"
BOWLS = ((60.0, 70.0, 24.0), (180.3, 90.6, 12.0), (120.0, 190.0, 40.0), (215.0, 215.0, 9.0))
"""x, y and diameter, pixels."""


def pitted(
    size: int = 256, *, squeeze: float = 1.0, scale: float = 1.0, seed: int = 1
) -> NDArray[np.uint8]:
    """The simulator's craters, slightly worn, lit from the left, on ground rough at all scales."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    height = np.zeros((size, size))
    for cx, cy, diameter in scale * np.array(BOWLS):
        r = np.hypot(x - cx, (y - cy) / squeeze) / (0.5 * diameter)
        radii = np.linspace(0.0, EJECTA_REACH, 200)
        profile = [profile_m(radius, diameter, 0.003) for radius in radii]
        height += np.interp(r, radii, profile)
    rng = np.random.default_rng(seed)
    slope = np.gradient(height, axis=1)
    for coarse in (1, 2, 4):
        rough = rng.normal(size=(size // coarse, size // coarse))
        slope += 0.02 * cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC)
    down = np.gradient(height, axis=0)
    rise = math.radians(25.0)
    lit = (math.sin(rise) + math.cos(rise) * slope) / np.sqrt(1.0 + slope**2 + down**2)
    return np.clip(np.rint(110.0 * np.maximum(lit, 0.0) / math.sin(rise)), 0, 255).astype(np.uint8)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the fp32 network with its refiner and manifest."""
    for name in (network_model.FILES["fp32"], REFINER, network_model.MANIFEST):
        shutil.copy(resource_path("models", name), tmp_path / name)
    return tmp_path / network_model.FILES["fp32"]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_finds_bowls_where_they_are(scale: int) -> None:
    """The largest, of 40 to 160 px, are found in the image made smaller."""
    found = detect_craters_network(pitted(256 * scale, scale=scale), runtime="opencv")
    for x, y, diameter in scale * np.array(BOWLS):
        apart = np.hypot(found.values[:, 0] - x, found.values[:, 1] - y)
        nearest = int(np.argmin(apart))
        own = 2.0 * math.sqrt(found.values[nearest, 2] * found.values[nearest, 3])
        assert apart[nearest] < 0.1 * diameter
        assert own == pytest.approx(diameter, rel=0.15)


def test_a_squeezed_bowl_is_an_ellipse() -> None:
    found = detect_craters_network(pitted(squeeze=0.7), runtime="opencv")
    nearest = int(np.argmin(np.hypot(found.values[:, 0] - 120.0, found.values[:, 1] - 190.0)))
    a, b, theta = found.values[nearest, 2:]
    assert a == pytest.approx(20.0, rel=0.15) and b == pytest.approx(14.0, rel=0.15)
    assert abs(theta) < 0.3


def test_smaller_craters_are_found_in_the_image_enlarged() -> None:
    """As they would be in a picture twice as fine, and given in the pixels of this one."""
    image = cv2.resize(pitted(), (128, 96), interpolation=cv2.INTER_AREA)
    small = detect_craters_network(image, smallest_px=4.0, runtime="opencv")
    for x, y, diameter in np.array(BOWLS) * [0.5, 0.375, 0.5]:
        apart = np.hypot(small.values[:, 0] - x, small.values[:, 1] - y)
        assert apart.min() < max(0.1 * diameter, 0.75)
    enlarged = cv2.resize(image.astype(np.float32), (256, 192), interpolation=cv2.INTER_CUBIC)
    finer = detect_craters_network(enlarged, runtime="opencv")
    assert len(small) == len(finer) and small.covariance is not None
    assert finer.covariance is not None
    np.testing.assert_allclose(small.values[:, :2], 0.5 * (finer.values[:, :2] - 0.5), atol=0.02)
    np.testing.assert_allclose(small.values[:, 2:4], 0.5 * finer.values[:, 2:4], rtol=0.02)
    spread = finer.covariance * np.outer([1, 1, 1, 1, 2], [1, 1, 1, 1, 2]) / 4.0
    np.testing.assert_allclose(small.covariance, spread, rtol=0.1, atol=1e-3)


def test_only_craters_of_the_size_asked_for_are_given() -> None:
    for smallest_px in (4.0, 8.0, 20.0):
        found = detect_craters_network(
            pitted(), smallest_px=smallest_px, least_score=0.1, runtime="opencv"
        )
        assert diameters(found.values).min() >= 0.93 * smallest_px
        assert len(found) >= 2


def test_an_image_too_large_once_enlarged_is_refused() -> None:
    image = np.zeros((MOST_PIXELS // 3000, 1000), np.uint8)
    with pytest.raises(InputError, match=r"enlarged for smallest_px 4.*tiles"):
        detect_craters_network(image, smallest_px=4.0)


def test_both_runtimes_find_the_same() -> None:
    pytest.importorskip("onnxruntime")
    image = pitted(200)
    first = detect_craters_network(
        image, runtime="onnxruntime", provider="CPUExecutionProvider", least_score=0.1
    )
    second = detect_craters_network(image, runtime="opencv", least_score=0.1)
    assert len(first) == len(second) > 0
    np.testing.assert_allclose(first.values, second.values, atol=2e-3)
    np.testing.assert_allclose(first.score, second.score, atol=1e-4)
    assert first.covariance is not None and second.covariance is not None
    np.testing.assert_allclose(first.covariance, second.covariance, atol=1e-2)


def test_both_runtimes_find_the_same_in_int8_but_for_a_step() -> None:
    """The two round halves differently: some values are one step of 256 apart.

    Weights have seven bits: with eight, ONNX Runtime's sums of two products saturate at 16 bits on
    a processor without VNNI, and sizes were 5.6 % apart, places 6.4 % of the diameter.
    """
    pytest.importorskip("onnxruntime")
    first, second = (
        detect_craters_network(pitted(200), runtime=runtime, precision="int8")
        for runtime in ("onnxruntime", "opencv")
    )
    for one, other in ((first, second), (second, first)):
        sure = one.chosen(one.score > 0.5)
        assert len(sure) > 0
        for x, y, a, b, _ in sure.values:
            apart = np.hypot(other.values[:, 0] - x, other.values[:, 1] - y)
            nearest = int(np.argmin(apart))
            assert apart[nearest] < 0.02 * math.sqrt(4.0 * a * b)
            np.testing.assert_allclose(other.values[nearest, 2:4], [a, b], rtol=0.02)


def test_int8_finds_nearly_the_same_as_fp32() -> None:
    first = detect_craters_network(pitted(), runtime="opencv")
    second = detect_craters_network(pitted(), runtime="opencv", precision="int8")
    for x, y, diameter in BOWLS:
        near = [int(np.argmin(np.hypot(e.values[:, 0] - x, e.values[:, 1] - y)))
                for e in (first, second)]  # fmt: skip
        off = first.values[near[0], :4] - second.values[near[1], :4]
        assert np.abs(off).max() < 0.1 * diameter


@pytest.mark.parametrize("convert", [
    lambda image: image.astype(np.uint16) * 257,
    lambda image: image.astype(np.uint16) + np.uint16(30_000),
    lambda image: image.astype(np.float32) / 255.0,
    lambda image: image.astype(np.float64) * 1e9 - 1e12,
])  # fmt: skip
def test_tones_matter_only_relative_to_each_other(convert: Any) -> None:
    image = pitted()
    first = detect_craters_network(image, runtime="opencv")
    second = detect_craters_network(convert(image), runtime="opencv")
    sure = [e.chosen(e.score > 0.6) for e in (first, second)]
    assert len(sure[0]) == len(sure[1]) >= len(BOWLS)
    np.testing.assert_allclose(sure[0].values[:, :2], sure[1].values[:, :2], atol=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 40), (64, 64), (250, 131)])
@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_blank_image_has_no_craters(shape: tuple[int, int], grey: int) -> None:
    found = detect_craters_network(np.full(shape, grey, np.uint8), runtime="opencv")
    assert len(found) == 0
    assert found.covariance is not None and found.covariance.shape == (0, 5, 5)


def test_read_only_and_strided_images_are_taken() -> None:
    image = pitted()
    image.setflags(write=False)
    first = detect_craters_network(image, runtime="opencv")
    second = detect_craters_network(np.asfortranarray(image)[:, :], runtime="opencv")
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((0, 5), np.uint8), "one grey channel"),
        (np.zeros((5, 5, 3), np.uint8), "one grey channel"),
        (np.zeros((5, 5), bool), "type bool"),
        (np.zeros((5, 5), complex), "type complex"),
        (np.full((5, 5), np.nan), "not finite"),
        (np.zeros((MOST_PIXELS // 1000 + 1, 1000), np.uint8), "tiles"),
    ],
)
def test_what_is_no_image_is_refused(image: NDArray[Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        detect_craters_network(image)


@pytest.mark.parametrize(
    "options",
    [
        {"runtime": "tflite"}, {"precision": "fp16"}, {"least_score": 1.5}, {"smallest_px": 3.9},
        {"smallest_px": math.nan},
    ],
)  # fmt: skip
def test_unknown_options_are_refused(options: Any) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        detect_craters_network(pitted(64), **options)


def test_covariances_are_symmetric_positive_and_grow_with_doubt() -> None:
    found = detect_craters_network(pitted(), least_score=0.05, runtime="opencv")
    assert found.covariance is not None
    np.testing.assert_array_equal(found.covariance, np.swapaxes(found.covariance, 1, 2))
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()


# --- files ---------------------------------------------------------------------------------------


def _refused(model: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_network(model=model, runtime="opencv")
    text = str(caught.value)
    assert str(model.name) in text and "\n" not in text
    return text


def test_a_copy_with_its_manifest_is_taken(copied: Path) -> None:
    image = pitted(128)
    first = detect_craters_network(image, model=copied, runtime="opencv")
    second = detect_craters_network(image, runtime="opencv")
    np.testing.assert_array_equal(first.values, second.values)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in _refused(tmp_path / "none.onnx")


def test_a_tampered_file_is_refused_even_after_it_was_opened(copied: Path) -> None:
    open_network(model=copied, runtime="opencv")
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(data)
    assert "SHA-256 differs" in _refused(copied)


def test_a_cut_off_file_is_refused(copied: Path) -> None:
    copied.write_bytes(copied.read_bytes()[:1000])
    assert "SHA-256 differs" in _refused(copied)


def test_a_missing_manifest_is_named(copied: Path) -> None:
    copied.with_name(network_model.MANIFEST).unlink()
    with pytest.raises(InputError, match=r"manifest\.toml: cannot be read"):
        open_network(model=copied, runtime="opencv")


@pytest.mark.parametrize("text", ["", "files = 3\n", "[files]\n", "not toml", "\xff"])
def test_a_manifest_that_does_not_list_the_file_is_refused(copied: Path, text: str) -> None:
    copied.with_name(network_model.MANIFEST).write_bytes(text.encode("latin-1"))
    assert "no SHA-256" in _refused(copied)


def _with_refiner(copied: Path, name: str) -> None:
    """The copy's manifest, with another refiner for its network."""
    manifest = copied.with_name(network_model.MANIFEST)
    text = manifest.read_text(encoding="utf-8")
    assert f'refiner = "{REFINER}"' in text
    manifest.write_text(text.replace(f'refiner = "{REFINER}"', f'refiner = "{name}"'), "utf-8")


def test_a_missing_or_tampered_refiner_is_refused(copied: Path) -> None:
    refiner = copied.with_name(REFINER)
    refiner.write_bytes(refiner.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=rf"{REFINER}: .*SHA-256 differs"):
        open_network(model=copied, runtime="opencv")
    refiner.unlink()
    with pytest.raises(InputError, match=rf"{REFINER}: cannot be read"):
        open_network(model=copied, runtime="opencv")


@pytest.mark.parametrize("name", ["../crater_refiner.onnx", "/etc/passwd", ""])
def test_a_refiner_lies_beside_its_network(copied: Path, name: str) -> None:
    _with_refiner(copied, name)
    with pytest.raises(InputError, match="refiner: not a file's name"):
        open_network(model=copied, runtime="opencv")


def test_a_network_is_no_refiner(copied: Path) -> None:
    _with_refiner(copied, copied.name)
    assert "not a crater network" in _refused(copied)


def test_a_network_without_a_refiner_knows_no_covariances(copied: Path) -> None:
    """As one is that a refiner has yet to be trained for."""
    manifest = copied.with_name(network_model.MANIFEST)
    manifest.write_text(manifest.read_text("utf-8").replace(f'refiner = "{REFINER}"', ""), "utf-8")
    image = pitted(128)
    found = detect_craters_network(image, model=copied, runtime="opencv")
    assert len(found) > 0 and found.covariance is None
    assert detect_craters_network(image, runtime="opencv").covariance is not None


@pytest.mark.parametrize("runtime", ["onnxruntime", "opencv"])
def test_a_listed_file_that_is_no_network_is_refused(copied: Path, runtime: Any) -> None:
    import hashlib

    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    copied.write_bytes(b"not a network")
    digest = hashlib.sha256(b"not a network").hexdigest()
    copied.with_name(network_model.MANIFEST).write_text(
        f'[files."{copied.name}"]\nsha256 = "{digest}"\n'
    )
    with pytest.raises(InputError, match="not a network") as caught:
        open_network(model=copied, runtime=runtime)
    assert "\n" not in str(caught.value)


# --- runtimes ------------------------------------------------------------------------------------


def test_the_session_says_what_it_runs_on() -> None:
    pytest.importorskip("onnxruntime")
    network = open_network(runtime="onnxruntime")
    assert network.runtime == "onnxruntime"
    assert "CPUExecutionProvider" in network.providers
    assert open_network(runtime="opencv").providers == ()


def test_a_provider_that_is_not_there_is_an_error() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(WorkError, match="RocketExecutionProvider"):
        open_network(provider="RocketExecutionProvider")


class _Session:
    """An onnxruntime session that quietly left out the GPU."""

    def __init__(self, data: bytes, options: Any, providers: list[str]):
        assert providers[0] == "CUDAExecutionProvider"
        self.refines = data == resource_path("models", REFINER).read_bytes()

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="image")]

    def run(self, _names: None, inputs: dict[str, Any]) -> list[Any]:
        count, _, rows, columns = inputs["image"].shape
        if self.refines:
            return [np.zeros((count, 9, 1, 1), np.float32)]
        return [np.zeros((1, 24, rows // 4, columns // 4), np.float32)]


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that offers CUDA and cannot start it."""
    fake = SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=MagicMock,
        InferenceSession=_Session,
    )
    monkeypatch.setattr(network_model, "_onnxruntime", lambda: fake)


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_left_out_is_said(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        network = open_network(model=copied)
    assert network.providers == ("CPUExecutionProvider",)
    assert "could not start CUDAExecutionProvider" in caplog.text


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_asked_for_and_left_out_is_an_error(copied: Path) -> None:
    with pytest.raises(WorkError, match="could not start CUDAExecutionProvider"):
        open_network(model=copied, provider="CUDAExecutionProvider")


def test_without_onnxruntime_opencv_takes_its_place(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_model, "_onnxruntime", lambda: None)
    assert open_network(model=copied).runtime == "opencv"
    with pytest.raises(MissingExtraError, match=r"lunar-trn\[onnx\]"):
        open_network(model=copied, runtime="onnxruntime")


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("trn.detect, trn.localizer", ("onnxruntime", "trn.detect.network")),
        ("trn.detect.network", ("onnxruntime", "torch", "onnx")),
    ],
)
def test_nothing_is_imported_unasked(imports: str, absent: tuple[str, ...]) -> None:
    program = f"import sys, {imports}; sys.exit(any(name in sys.modules for name in {absent}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_detection_needs_no_torch_and_with_opencv_no_onnxruntime() -> None:
    program = (
        "import sys\n"
        "sys.modules.update(torch=None, onnx=None, onnxruntime=None)\n"
        "import numpy as np\n"
        "from trn.detect.network import detect_craters_network\n"
        "assert len(detect_craters_network(np.zeros((64, 64), np.uint8))) == 0\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
