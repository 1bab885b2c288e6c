"""The arithmetic of one training step, counted from the model's shape, and the most that the machine does of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fastvideo_engine.attention.coarse import tiles_kept
from fastvideo_engine.attention.tiles import TOKENS, tiling_of
from fastvideo_engine.bench.clock import now


@dataclass(frozen=True)
class Workload:
    """What a step computes on: a grid of video tokens, rows of text, adapters of a rank, tiles that are passed over."""

    grid: tuple[int, int, int]
    text_rows: int
    rank: int | None = None
    """Of the adapters on the attention's layers; None where all weights are trained."""
    sparsity: float | None = None
    """Of video sparse attention; None where attention is dense and has no gates."""

    @property
    def tokens(self) -> int:
        return math.prod(self.grid)


@dataclass(frozen=True)
class Forward:
    """FLOPs of one forward pass by what becomes of them in the backward pass; a multiplication and its sum are two."""

    embeddings: int
    layers: int
    attention: int
    adapters: int
    gates: int
    last: int

    @property
    def total(self) -> int:
        return self.embeddings + self.layers + self.attention + self.adapters + self.gates + self.last


def forward_flops(config: Mapping[str, Any], work: Workload) -> Forward:
    """Count a Wan transformer's matrix products for one clip; what is element by element is left out."""
    blocks, ffn, freq = (config[name] for name in ("num_layers", "ffn_dim", "freq_dim"))
    width = config["num_attention_heads"] * config["attention_head_dim"]
    patch = math.prod(config["patch_size"])
    tokens, rows = work.tokens, work.text_rows
    time = freq * width + width * width + width * 6 * width
    text = config["text_dim"] * width + width * width
    sparse = work.sparsity is not None
    return Forward(
        embeddings=2 * (tokens * config["in_channels"] * patch * width + rows * text + time),
        # Self-attention has four layers on tokens, cross-attention two on tokens and two on text.
        layers=blocks * (12 * tokens * width**2 + 4 * rows * width**2 + 4 * tokens * width * ffn),
        attention=blocks * 4 * width * (_scores(work) + tokens * rows),
        adapters=blocks * (work.rank or 0) * (24 * tokens * width + 8 * rows * width),
        gates=blocks * 2 * tokens * width**2 if sparse else 0,
        last=2 * tokens * width * config["out_channels"] * patch,
    )


def step_flops(config: Mapping[str, Any], work: Workload) -> int:
    """Count forward and backward pass, without what is computed twice to save memory.

    A frozen layer passes gradients on and needs none itself: one product less.
    """
    forward = forward_flops(config, work)
    trained_whole = 3 * (forward.attention + forward.adapters + forward.gates)
    if work.rank is None:
        return trained_whole + 3 * (forward.layers + forward.last + forward.embeddings)
    return trained_whole + 2 * (forward.layers + forward.last) + forward.embeddings


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the FLOPs a second of a large matrix product, the best of some."""
    side, repeated = (8192, 10) if device.type == "cuda" else (1024, 2)
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(8):
        began = now(device)
        for _ in range(repeated):
            matrix @ matrix
        seconds.append(now(device) - began)
    return float(2 * side**3 * repeated / min(seconds))


def _scores(work: Workload) -> int:
    """Count the pairs of tokens that self-attention scores."""
    if not work.sparsity:
        return work.tokens**2
    tiles = tiling_of(work.grid, torch.device("cpu")).tiles
    kept = tiles_kept(work.sparsity, tiles)
    # Ragged tiles are computed whole, and the blurred look scores each tile against each.
    return work.tokens * kept * TOKENS + tiles**2
