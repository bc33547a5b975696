"""`trn doctor`: what runs here, what is missing, and the command that installs it."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Annotated, Any

import typer

CORE = (
    "numpy",
    "scipy",
    "rasterio",
    "pyproj",
    "opencv-python-headless",
    "numba",
    "astronomy-engine",
    "typer",
    "pydantic",
    "rich",
    "mcap",
)
EXTRAS = {"matplotlib": "viz", "scikit-image": "bench", "onnxruntime": "onnx"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show backends, devices and versions, and how to install what is missing.

    Example: trn doctor
    """
    findings = examine()
    if as_json:
        typer.echo(json.dumps(findings))
        return
    typer.echo(f"trn {findings['trn']}, Python {findings['python']} on {findings['machine']}")
    for backend in findings["backends"]:
        state = "usable" if backend["usable"] else f"not usable: {backend['reason']}"
        typer.echo(f"backend {backend['name']}: {state} {backend['device']}".rstrip())
    for name, version in findings["packages"].items():
        typer.echo(f"{name}: {version or 'missing'}")
    for advice in findings["advice"]:
        typer.echo(f"-> {advice}")


def examine() -> dict[str, Any]:
    """What `trn doctor` prints, as plain JSON values."""
    from trn import __version__
    from trn.backend.select import describe_backends

    packages = {name: _version(name) for name in (*CORE, *EXTRAS)}
    backends = describe_backends()
    advice = [
        f"backend {backend['name']}: {backend['advice']}"
        for backend in backends
        if backend["advice"]
    ]
    advice += [
        f"{name} is missing: pip install --upgrade lunar-trn"
        for name in CORE
        if packages[name] is None
    ]
    advice += [
        f"{name} is not installed (optional): pip install 'lunar-trn[{extra}]'"
        for name, extra in EXTRAS.items()
        if packages[name] is None
    ]
    if _version("opencv-python") is not None:
        advice.append(
            "opencv-python (the GUI build) shadows opencv-python-headless and needs libGL: "
            "pip uninstall -y opencv-python opencv-python-headless && "
            "pip install opencv-python-headless"
        )
    if _version("onnxruntime") and _version("onnxruntime-gpu"):
        advice.append(
            "onnxruntime and onnxruntime-gpu overwrite each other: keep one, "
            "pip uninstall -y onnxruntime"
        )
    return {
        "trn": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "backends": backends,
        "packages": packages,
        "advice": advice,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
