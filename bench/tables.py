"""What every bench prints: one table for people, one JSON document for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def data_folder() -> Path:
    """The folder of real data: TRN_DATA, or ../shared/data beside the checkout."""
    given = os.environ.get("TRN_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no data there; set TRN_DATA")
    return folder


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a Markdown table under a title."""
    print(f"\n### {title}\n")
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * len(names))
    for row in rows:
        print("| " + " | ".join(_shown(row[name]) for name in names) + " |", flush=True)


def save(path: Path | None, results: Mapping[str, Any]) -> None:
    """Write all results as JSON, where a path is given."""
    if path is not None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(path)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
