"""The network takes its image from device memory, gives the same answers, and loses no frame."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_detect_network import pitted
from trn.backend.cuda_arrays import DeviceArrays, cuda_arrays, host_arrays
from trn.detect import network_model
from trn.detect.network import detect_craters_network
from trn.detect.network_bound import BoundNetwork, BoundSession, shrunk
from trn.detect.network_model import FILES, Network
from trn.resources import resource_path

SIZES = [(200, 200), (251, 131), (300, 333), (40, 33), (7, 300)]
MODEL = resource_path("models", FILES["fp32"])
REFINER = resource_path("models", "crater_refiner.onnx")


class Bindings:
    """A session's stand-in: notes what is bound to it, and runs the network under OpenCV.

    Its device's memory is the host's under another name, so that addresses can be followed.
    """

    def __init__(self, data: bytes, options: Any = None, providers: Any = None) -> None:
        self.net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        self.names = ("crops", "answers") if data == REFINER.read_bytes() else ("image", "cells")
        self.providers = providers or ["CUDAExecutionProvider", "CPUExecutionProvider"]
        self.bound: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.run_error: Exception | None = None
        self.host_runs = 0

    def get_providers(self) -> list[str]:
        return list(self.providers)

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=self.names[0])]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=self.names[1])]

    def io_binding(self) -> Any:
        places: dict[str, NDArray[np.float32]] = {}

        def bind(name: str, kind: str, number: int, dtype: Any, shape: Any, address: int) -> None:
            self.bound.append((name, kind, number, dtype, tuple(shape), address))
            count = int(np.prod(shape))
            memory = (np.ctypeslib.ctypes.c_float * count).from_address(address)
            places[name] = np.frombuffer(memory, np.float32).reshape(shape)

        return SimpleNamespace(
            bind_input=bind, bind_output=bind, places=places, synchronize_outputs=lambda: None
        )

    def run_with_iobinding(self, binding: Any) -> None:
        if self.error is not None:
            raise self.error
        given, answered = self.names
        self.net.setInput(binding.places[given])
        binding.places[answered][...] = self.net.forward()

    def run(self, _names: None, inputs: dict[str, Any]) -> list[Any]:
        if self.run_error is not None:
            raise self.run_error
        self.host_runs += 1
        self.net.setInput(inputs[self.names[0]])
        return [np.array(self.net.forward())]


class Device:
    """A GPU's stand-in: the host's memory, with what goes to it and back counted."""

    def __init__(self) -> None:
        self.uploads = self.downloads = self.waits = 0
        names = ("empty", "pad", "ascontiguousarray", "clip", "minimum", "sqrt")
        self.module = SimpleNamespace(
            asarray=self._upload, **{name: getattr(np, name) for name in names}
        )

    def _upload(self, array: NDArray[Any]) -> NDArray[Any]:
        self.uploads += array.dtype == np.float32
        return np.array(array)

    def _download(self, array: NDArray[Any]) -> NDArray[Any]:
        self.downloads += 1
        return np.array(array)

    def _wait(self) -> None:
        self.waits += 1

    def arrays(self, number: int = 0) -> DeviceArrays:
        return DeviceArrays(
            self.module, "cuda", number, lambda a: int(a.ctypes.data), self._download, self._wait
        )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine whose onnxruntime runs on a GPU that CuPy works on: sessions and device."""
    machine = SimpleNamespace(sessions=[], device=Device())

    def open_session(*given: Any, **named: Any) -> Bindings:
        machine.sessions.append(Bindings(*given, **named))
        return machine.sessions[-1]

    ort = SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=MagicMock,
        InferenceSession=open_session,
    )
    monkeypatch.setattr(network_model, "_onnxruntime", lambda: ort)
    monkeypatch.setattr(network_model, "cuda_arrays", lambda: machine.device.arrays())
    network_model._opened.cache_clear()
    yield machine
    network_model._opened.cache_clear()


@pytest.mark.parametrize("size", SIZES)
def test_an_onnxruntime_session_bound_to_memory_answers_as_one_that_is_given_arrays(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real I/O binding, on the device that every machine has."""
    ort = pytest.importorskip("onnxruntime")
    network, refiner = (
        BoundSession(
            ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"]),
            host_arrays(),
        )
        for path in (MODEL, REFINER)
    )
    bound = BoundNetwork(network, refiner)
    image = pitted(max(size))[: size[0], : size[1]]
    theirs = detect_craters_network(image, runtime="onnxruntime", least_score=0.1)
    host = network_model.open_network(runtime="onnxruntime", provider="CPUExecutionProvider")
    both = Network("onnxruntime", host.providers, host.run, host.refine, bound)
    monkeypatch.setattr("trn.detect.network.open_network", lambda **options: both)
    ours = detect_craters_network(image, least_score=0.1)
    assert bound.fallbacks == 0
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours.values, theirs.values, atol=2e-3)
    np.testing.assert_allclose(ours.score, theirs.score, atol=1e-4)


@pytest.mark.parametrize("rows", [(64, 32), (65, 32), (67, 34), (131, 66), (33, 16)])
def test_levels_are_shrunk_as_opencv_does(rows: tuple[int, int]) -> None:
    image = np.random.default_rng(rows[0]).normal(size=(rows[0], 20)).astype(np.float32)
    expected = cv2.resize(image, (20, rows[1]), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrunk(image, rows[1], np), expected, atol=1e-6)


def test_a_frame_goes_up_once_and_answers_alone_come_back(gpu: SimpleNamespace) -> None:
    """Those of the network, and those of the refiner."""
    image = pitted(256)
    ours = detect_craters_network(image, least_score=0.1)
    device = gpu.device
    assert (device.uploads, device.downloads, device.waits) == (1, 2, 2)
    # The look at the models when they are opened.
    assert [session.host_runs for session in gpu.sessions] == [1, 1]
    theirs = detect_craters_network(image, runtime="opencv", least_score=0.1)
    np.testing.assert_allclose(ours.values, theirs.values, atol=2e-3)


def test_bindings_say_device_type_shape_and_place(gpu: SimpleNamespace) -> None:
    detect_craters_network(pitted(256)[:250, :131])
    bound = gpu.sessions[0].bound
    assert {(kind, number, dtype) for _, kind, number, dtype, _, _ in bound} == {
        ("cuda", 0, np.float32)
    }
    images = [shape for name, *_, shape, _ in bound if name == "image"]
    cells = [shape for name, *_, shape, _ in bound if name == "cells"]
    # 250 x 131, 125 x 66 and 62 x 33, mirrored up to multiples of 16.
    assert images == [(1, 1, 256, 144), (1, 1, 128, 80), (1, 1, 64, 48)]
    assert cells == [(1, 24, 64, 36), (1, 24, 32, 20), (1, 24, 16, 12)]
    places = [address for name, *_, address in bound if name == "cells"]
    # One array has all answers, one level after the other.
    assert np.diff(places).tolist() == [4 * 24 * 64 * 36, 4 * 24 * 32 * 20]


def test_a_frame_that_device_memory_fails_goes_by_the_host(
    gpu: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    image = pitted(128)
    expected = detect_craters_network(image)
    session = gpu.sessions[0]
    session.error = RuntimeError("Failed to allocate memory for requested buffer\nof size 9")
    with caplog.at_level(logging.WARNING):
        found = detect_craters_network(image)
    np.testing.assert_allclose(found.values, expected.values, atol=2e-3)
    assert session.host_runs == 1 + 3  # when opened, and three levels
    assert "goes by the host: Failed to allocate memory for requested buffer of size 9" in (
        caplog.text
    )
    session.error = None
    detect_craters_network(image)
    assert session.host_runs == 4
    bound = network_model.open_network().bound
    assert bound is not None and bound.fallbacks == 1


def test_a_gpu_lost_altogether_hands_over_to_the_cpu(
    gpu: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    image = pitted(128)
    expected = detect_craters_network(image)
    session = gpu.sessions[0]
    session.error = session.run_error = RuntimeError("CUDA failure 700: illegal memory access")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = detect_craters_network(image)
            np.testing.assert_allclose(found.values, expected.values, atol=2e-3)
    assert caplog.text.count("the CPU carries on: CUDA failure 700") == 1
    assert [s.providers for s in gpu.sessions[2:]] == [["CPUExecutionProvider"]]


@pytest.mark.parametrize("arrays", [None, Device().arrays(number=1)])
def test_without_cupy_or_on_another_gpu_onnxruntime_gets_host_arrays(
    arrays: DeviceArrays | None, gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_model, "cuda_arrays", lambda: arrays)
    assert network_model.open_network().bound is None
    assert len(detect_craters_network(pitted(128))) > 0


def test_no_usable_gpu_has_no_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trn.backend.cuda_arrays.usable", lambda: (False, "no GPU"))
    assert cuda_arrays() is None


def test_cupys_arrays_are_named_by_device_and_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    stream = SimpleNamespace(synchronize=lambda: waited.append(1))
    cupy = SimpleNamespace(
        asnumpy=np.array,
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: 0), get_current_stream=lambda: stream
        ),
    )
    monkeypatch.setattr("trn.backend.cuda_arrays.usable", lambda: (True, ""))
    monkeypatch.setattr("importlib.import_module", lambda name: cupy)
    arrays = cuda_arrays()
    assert arrays is not None and (arrays.kind, arrays.number) == ("cuda", 0)
    assert arrays.address(SimpleNamespace(data=SimpleNamespace(ptr=4096))) == 4096
    arrays.wait()
    assert waited == [1]
