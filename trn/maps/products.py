"""The LRO products that are known, from datasets/products.toml."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from trn.errors import InputError, quoted
from trn.resources import resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRODUCTS = "products.toml"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a product: its address, and length and SHA-256 where they are known."""

    url: str
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Product:
    """A product: what it is, the option of `trn map build` that takes it, its page, its files."""

    name: str
    title: str
    use: str
    page: str
    files: tuple[RemoteFile, ...]

    @property
    def main_file(self) -> RemoteFile:
        """The one to name to `trn map build`; a detached label goes before what it describes."""
        labels = [file for file in self.files if file.name.lower().endswith(".lbl")]
        return labels[0] if labels else self.files[0]

    @property
    def size_bytes(self) -> int | None:
        """Of all its files; labels, of some kilobytes, are not counted."""
        sizes = [file.size_bytes for file in self.files if not file.name.lower().endswith(".lbl")]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def known_products() -> dict[str, Product]:
    """The products by name."""
    text = resource_path("datasets", PRODUCTS).read_text(encoding="utf-8")
    return {name: _product(name, entry) for name, entry in tomllib.loads(text).items()}


def product(name: str) -> Product:
    """The product of a name; raises InputError for another one."""
    known = known_products()
    if name not in known:
        raise InputError(f"{quoted(name)}: no known product; choose one of {', '.join(known)}")
    return known[name]


def _product(name: str, entry: dict[str, Any]) -> Product:
    files = tuple(
        RemoteFile(file["url"], file.get("bytes"), file.get("sha256")) for file in entry["files"]
    )
    return Product(name, entry["title"], entry["use"], entry["page"], files)
