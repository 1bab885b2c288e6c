"""What the tests of data share: small preprocessing jobs, and how to look at what they wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.specs import Manifest, PreprocessSpec

_SMALL = {"height": 64, "width": 96, "frames": 17, "fps": 16}


@pytest.fixture
def listed(tmp_path: Path, tiny_wan: Path) -> Callable[..., PreprocessSpec]:
    """Make a spec for a manifest of (path, caption) pairs."""

    def make(*clips: tuple[Path, str], model: Path = tiny_wan, **changes: Any) -> PreprocessSpec:
        manifest = tmp_path / "manifest.jsonl"
        rows = [{"name": path.name, "path": str(path), "caption": caption} for path, caption in clips]
        manifest.write_text("\n".join(map(json.dumps, rows)))
        return PreprocessSpec(model=str(model), source=Manifest(path=str(manifest)), **{**_SMALL, **changes})

    return make


@pytest.fixture
def rows_in() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """Read the rows of a dataset by their ids, each of which is there once."""

    def read(dataset: Path) -> dict[str, dict[str, Any]]:
        rows = [row for file in sorted(dataset.rglob("*.parquet")) for row in pq.ParquetFile(file).read().to_pylist()]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row for row in rows}

    return read


@pytest.fixture(scope="session")
def tensor_in() -> Callable[[dict[str, Any], str], np.ndarray]:
    """Read a tensor of a row the way FastVideo does."""

    def read(row: dict[str, Any], name: str) -> np.ndarray:
        return np.frombuffer(row[f"{name}_bytes"], "<f4").reshape(row[f"{name}_shape"])

    return read
