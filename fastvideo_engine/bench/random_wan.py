"""Wan transformers of random weights to measure training with, and a batch for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from fastvideo_engine.assets import MODELS
from fastvideo_engine.components import part_config
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.training.flow_matching import Batch
from fastvideo_engine.world.scenes import FRAMES, SIZE

_PIXELS_A_LATENT = 8
_SPREAD = 0.02  # of biases and adapters; of whole layers, what keeps the size of what goes through them


@dataclass(frozen=True)
class Subject:
    """A model by the settings of its transformer, and the clips that it is measured with."""

    config: Mapping[str, Any]
    frames: int
    height: int
    width: int


SUBJECTS = {
    "tiny-wan": Subject(part_config(MODELS / "tiny-wan", "transformer"), FRAMES, SIZE, SIZE),
    "wan-1.3b": Subject(
        {
            "num_attention_heads": 12,
            "attention_head_dim": 128,
            "ffn_dim": 8960,
            "num_layers": 30,
            "freq_dim": 256,
            "text_dim": 4096,
        },
        frames=77,
        height=480,
        width=832,
    ),
}


@torch.no_grad()
def write_transformer(config: Mapping[str, Any], folder: Path, device: torch.device) -> None:
    """Write a model that is a transformer alone, with the same weights each time."""
    with torch.device("meta"):
        transformer = WanTransformer3DModel.from_config(config)
    transformer.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(7)
    for name, weight in transformer.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight[0].numel() ** -0.5, generator=generator)
        elif name.endswith("bias"):
            weight.normal_(0, _SPREAD, generator=generator)
        else:
            weight.fill_(1)
    transformer.save_pretrained(folder / "transformer")


@torch.no_grad()
def open_adapters(transformer: nn.Module) -> None:
    """Let adapters begin as some change, the same for every transformer: fresh ones leave half their gradients zero."""
    for name, weight in transformer.named_parameters():
        if ".lora_" in name:
            weight.copy_(torch.randn(weight.shape, generator=generator_of(name)) * _SPREAD)


def random_batch(config: Mapping[str, Any], grid: tuple[int, int, int], caption: int, device: torch.device) -> Batch:
    """Draw a batch of one clip, latents of a grid of tokens, whose caption has so many tokens and is padded."""
    generator = generator_of("batch")
    sizes = [tokens * patch for tokens, patch in zip(grid, config["patch_size"], strict=True)]
    latents, noise = (torch.randn(1, config["in_channels"], *sizes, generator=generator) for _ in range(2))
    text = torch.zeros(1, WAN.text_length, config["text_dim"])
    text[:, :caption] = torch.randn(1, caption, config["text_dim"], generator=generator)
    return Batch(latents=latents, text=text, noise=noise, sigma=torch.tensor([0.6])).to(device)


def grid_of(config: Mapping[str, Any], frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Return how many tokens a clip has in time, down and across."""
    latent = (WAN.latent_frames(frames), height // _PIXELS_A_LATENT, width // _PIXELS_A_LATENT)
    time, down, across = (size // patch for size, patch in zip(latent, config["patch_size"], strict=True))
    return time, down, across
