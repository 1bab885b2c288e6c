"""Preprocess the way a plain script over diffusers does, FastVideo's own among them: one thing after another."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn import functional

from fastvideo_engine.clip_rules import chosen_frames
from fastvideo_engine.components import encode_captions, load_text_encoder, load_vae
from fastvideo_engine.data.frames import as_vae_input
from fastvideo_engine.data.stages import timed
from fastvideo_engine.media import probe
from fastvideo_engine.media.reading import decoded_frames, rgb
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.preprocess import PreprocessSpec

_TEXT_LENGTH = 512


def run(spec: PreprocessSpec, folder: RunFolder) -> None:
    """Decode a clip wholly, resize it in float32, encode it with diffusers' own `encode`, write it; then the next."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Path(spec.model)
    tokenizer, text_encoder = load_text_encoder(model, device)
    vae = load_vae(model, device)
    folder.parquet.mkdir()
    for number, line in enumerate(Path(spec.source.path).read_text(encoding="utf-8").splitlines()):
        clip = json.loads(line)
        with timed("wait"), timed("read"):
            frames = _read(Path(clip["path"]), spec)
        [text] = encode_captions([clip["caption"]], tokenizer, text_encoder, _TEXT_LENGTH)
        with timed("encode"), torch.no_grad():
            latent = vae.encode(as_vae_input(frames).to(device)).latent_dist.mean[0].cpu()
        with timed("wait"), timed("write"):
            row = {"id": Path(clip["path"]).name, **_columns("vae_latent", latent), **_columns("text_embedding", text)}
            pq.write_table(pa.Table.from_pylist([row]), folder.parquet / f"row_{number}.parquet")


def _read(path: Path, spec: PreprocessSpec) -> Tensor:
    everything = np.stack([rgb(frame) for frame in decoded_frames(path)])
    chosen = chosen_frames(probe(path), spec.fps, spec.frames, spec.parity)
    frames = torch.from_numpy(everything[chosen]).permute(0, 3, 1, 2).float()
    height, width = frames.shape[-2:]
    ratio = spec.height / spec.width
    cut_height, cut_width = (int(width * ratio), width) if height / width > ratio else (height, int(height / ratio))
    top, left = round((height - cut_height) / 2), round((width - cut_width) / 2)
    cut = frames[..., top : top + cut_height, left : left + cut_width]
    size = (spec.height, spec.width)
    resized = functional.interpolate(cut, size=size, mode="bilinear", align_corners=True, antialias=True)
    return resized.round()


def _columns(name: str, tensor: Tensor) -> dict[str, object]:
    values = tensor.numpy()
    return {f"{name}_bytes": values.tobytes(), f"{name}_shape": list(values.shape)}
