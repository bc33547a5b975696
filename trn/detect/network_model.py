"""The crater network's files and what runs them: onnxruntime, or OpenCV's dnn module.

Neither is imported before a network is asked for.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trn.backend.cuda_arrays import cuda_arrays
from trn.detect.crops import CROP_PX
from trn.detect.network_bound import BoundLook, BoundNetwork, BoundSession
from trn.detect.network_look import CELL_CHANNELS, REFINER_ANSWERS, HostLook, Look, Run
from trn.errors import InputError, MissingExtraError, TrnError, WorkError, quoted
from trn.resources import resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array32 = NDArray[np.float32]
Shape = tuple[int, ...]
Runtime = Literal["auto", "onnxruntime", "opencv"]
Precision = Literal["fp32", "int8"]

logger = logging.getLogger(__name__)

FILES: dict[str, str] = {"fp32": "crater_net.onnx", "int8": "crater_net_int8.onnx"}
MANIFEST = "manifest.toml"
MOST_FILE_BYTES = 64_000_000

# TensorRT comes second: it builds an engine, for minutes, for every size of image.
_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_PROVIDERS = (*_GPU_PROVIDERS, "CPUExecutionProvider")


@dataclass(frozen=True)
class Network:
    """A network that is ready to run.

    runtime: onnxruntime or opencv. providers: what onnxruntime runs it on, in its order of choice,
    as the session itself reports; empty for opencv. run: an image (1, 1, H, W) to cells. refine:
    crops (N, 1, 32, 32) to what the refiner says of each, (N, 9, 1, 1); None for a network without
    one. bound: both on arrays in the memory of the GPU that they run on; None where there is no
    such GPU, or no CuPy to use its memory.
    """

    runtime: str
    providers: tuple[str, ...]
    run: Run
    refine: Run | None = None
    bound: BoundNetwork | None = None

    def look(self, image: Array32) -> Look:
        """At an image (H, W) of zero mean and unit variance."""
        host = HostLook(image, self.run, self.refine)
        return host if self.bound is None else BoundLook(self.bound, host)


@dataclass(frozen=True)
class _Opened:
    """One file, ready to run: providers and run as in Network, and its session on a GPU if any."""

    providers: tuple[str, ...]
    run: Run
    bound: BoundSession | None = None


def open_network(
    *,
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    model: str | Path | None = None,
    provider: str | None = None,
) -> Network:
    """The network of a file whose SHA-256 stands in the manifest.toml beside it.

    runtime: `auto` is onnxruntime where installed, else opencv. precision: which of the package's
    files. model: another file, which precision then says nothing about. provider: the one of
    onnxruntime's that must run it; without, the best one that is there. Opened networks are kept.
    Raises InputError for an unknown option and for a model file that is missing, unlisted,
    tampered with or no crater network, MissingExtraError where onnxruntime is asked for and not
    installed, WorkError where a provider is asked for and does not run.
    """
    if runtime not in ("auto", "onnxruntime", "opencv"):
        raise InputError(f"runtime: {quoted(runtime)}; use auto, onnxruntime or opencv")
    if precision not in FILES:
        raise InputError(f"precision: {quoted(precision)}; use fp32 or int8")
    path = resource_path("models", FILES[precision]) if model is None else Path(model)
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(
            f"{path}: the network's file cannot be read ({error.strerror}); check the path"
        ) from error
    return _opened(path, state.st_mtime_ns, state.st_size, runtime, provider)


@lru_cache(maxsize=8)
def _opened(path: Path, _modified: int, size: int, runtime: str, provider: str | None) -> Network:
    """The network of a file as it was at a time."""
    if size > MOST_FILE_BYTES:
        raise InputError(f"{path}: {size} bytes are too many for a crater network")
    data, entry = _verified(path)
    ort = _onnxruntime() if runtime in ("auto", "onnxruntime") else None
    if ort is None and (runtime == "onnxruntime" or provider is not None):
        raise MissingExtraError(
            "onnxruntime is not installed; pip install 'lunar-trn[onnx]', or use runtime opencv"
        )

    def ready(path: Path, data: bytes, given: Shape, wanted: Shape) -> _Opened:
        """A file's bytes as what answers, and as it should."""
        try:
            opened = _with_opencv(data) if ort is None else _with_onnxruntime(ort, data, provider)
            shape = opened.run(np.zeros(given, np.float32)).shape
        except TrnError:
            raise
        except Exception as error:  # Both runtimes raise classes of their own.
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not a network that can be run ({text})") from error
        if shape != wanted:
            raise InputError(f"{path}: not a crater network: it answers with shape {shape}")
        return opened

    network = ready(path, data, (1, 1, 32, 48), (1, CELL_CHANNELS, 8, 12))
    name, refiner = entry.get("refiner"), None
    if name is not None:
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise InputError(f"{path.with_name(MANIFEST)}: {path.name}: refiner: not a file's name")
        beside = path.with_name(name)
        refiner = ready(
            beside, _verified(beside)[0], (2, 1, CROP_PX, CROP_PX), (2, REFINER_ANSWERS, 1, 1)
        )
    bound = None
    if network.bound is not None:
        bound = BoundNetwork(network.bound, None if refiner is None else refiner.bound)
    return Network(
        "opencv" if ort is None else "onnxruntime", network.providers, network.run,
        None if refiner is None else refiner.run, bound,
    )  # fmt: skip


def _verified(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes, once they have the SHA-256 that the manifest beside it gives; its entry."""
    manifest = path.with_name(MANIFEST)
    try:
        data = path.read_bytes()
        entry = tomllib.loads(manifest.read_text(encoding="utf-8"))["files"][path.name]
        listed = entry["sha256"]
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); a network needs its "
            f"{MANIFEST} beside it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest}: has no SHA-256 for {path.name}; restore it, or list the file "
            "(python -m models.export writes both)"
        ) from error
    if hashlib.sha256(data).hexdigest() != listed:
        raise InputError(
            f"{path}: not the file that {MANIFEST} lists (its SHA-256 differs); restore it"
        )
    return data, entry


def _onnxruntime() -> Any:
    """The onnxruntime module, or None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def _with_onnxruntime(ort: Any, data: bytes, provider: str | None) -> _Opened:
    """The network under onnxruntime; the session is asked what it really runs on."""
    there = ort.get_available_providers()
    if provider is not None and provider not in there:
        raise WorkError(f"onnxruntime has no {provider} here; it has {', '.join(there)}")
    wanted = [name for name in _PROVIDERS if name in there] if provider is None else [provider]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait for this session's next run would hold the cores of the other network's.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(data, options, providers=wanted)
    got = tuple(session.get_providers())
    if provider is not None and provider not in got:
        raise WorkError(f"onnxruntime could not start {provider}; it runs on {', '.join(got)}")
    for name in wanted:
        if name not in got:
            logger.warning("onnxruntime could not start %s; it runs on %s", name, ", ".join(got))
    if not got or got[0] not in _GPU_PROVIDERS:
        return _Opened(got, _runner(session))
    arrays = cuda_arrays()
    # The session is on the first GPU, as it was not told another.
    if arrays is None or arrays.number != 0:
        bound = None
    else:
        bound = BoundSession(session, arrays)
    run = _with_cpu_behind(
        _runner(session),
        lambda: _runner(ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])),
    )
    return _Opened(got, run, bound)


def _runner(session: Any) -> Run:
    """A session as `Network.run`."""
    name = session.get_inputs()[0].name
    return lambda image: np.asarray(session.run(None, {name: image})[0], dtype=np.float32)


def _with_cpu_behind(run: Run, open_cpu: Callable[[], Run]) -> Run:
    """A GPU's `run` that hands over to the CPU for good once the GPU fails it."""
    running = [run]

    def guarded(image: Array32) -> Array32:
        if running[0] is not run:
            return running[0](image)
        try:
            return run(image)
        except Exception as error:  # ONNX Runtime's errors have no class in common.
            text = " ".join(str(error).split())[:200]
            logger.warning("the GPU fails the network, the CPU carries on: %s", text)
            running[0] = open_cpu()
            return running[0](image)

    return guarded


def _with_opencv(data: bytes) -> _Opened:
    """The network under OpenCV's dnn module, on the CPU."""
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def run(image: Array32) -> Array32:
        net.setInput(image)
        # OpenCV reuses what it hands out.
        return np.array(net.forward(), dtype=np.float32)

    return _Opened((), run)
