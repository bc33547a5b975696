"""`trn doctor`: what runs here, what is missing, and the command that installs it."""

from __future__ import annotations

import json
import platform
import sys
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
    "pyyaml",
    "tomli-w",
    "mcap",
)
"""What lunar-trn depends on; `tomli` only where Python brings no TOML reader of its own."""

EXTRAS = {
    "matplotlib": "viz",
    "pooch": "data",
    "scikit-image": "bench",
    "onnxruntime": "onnx",
    "spiceypy": "spice",
}


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

    needed = (*CORE, "tomli") if sys.version_info < (3, 11) else CORE
    packages = {name: _version(name) for name in (*needed, *EXTRAS)}
    backends = _backends()
    advice = [
        f"backend {backend['name']}: {backend['advice']}"
        for backend in backends
        if backend["advice"]
    ]
    advice += [
        f"{name} is missing: pip install --upgrade lunar-trn"
        for name in needed
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


def _backends() -> list[dict[str, object]]:
    """Every backend; none where a package that all of them need is broken or missing."""
    try:
        from trn.backend.select import describe_backends, describe_fpga
    except ImportError as error:
        broken = {"name": "all", "usable": False, "reason": str(error), "device": ""}
        return [{**broken, "advice": "pip install --upgrade --force-reinstall lunar-trn"}]
    return [*describe_backends(), *describe_fpga()]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
