"""What the tests of data share: small preprocessing jobs, and how to look at what they wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import AutoencoderKLWan

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


@pytest.fixture(scope="session")
def tiny_a14b_i2v(tiny_wan_i2v: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 A14B image to video, tiny: two experts and no image encoder."""
    folder = Path(shutil.copytree(tiny_wan_i2v, tmp_path_factory.mktemp("models") / "a14b"))
    shutil.rmtree(folder / "image_encoder")
    shutil.rmtree(folder / "image_processor")
    _set(folder, image_encoder=[None, None], image_processor=[None, None], boundary_ratio=0.9)
    return folder


@pytest.fixture(scope="session")
def tiny_ti2v_5b(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 TI2V-5B, tiny: 48 latent channels, 16 pixels a latent, a clean first latent frame."""
    folder = Path(shutil.copytree(tiny_wan, tmp_path_factory.mktemp("models") / "ti2v"))
    shutil.rmtree(folder / "vae")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        vae = AutoencoderKLWan(
            base_dim=4,
            decoder_base_dim=4,
            z_dim=48,
            num_res_blocks=1,
            latents_mean=[0.1] * 48,
            latents_std=[0.7] * 48,
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
        )
    vae.save_pretrained(folder / "vae")
    _set(folder, expand_timesteps=True)
    return folder


def _set(folder: Path, **changes: Any) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))
