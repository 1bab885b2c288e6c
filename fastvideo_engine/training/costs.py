"""What a training step takes, by formulas: floating-point operations and bytes, before anything is computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from fastvideo_engine.attention.coarse import tiles_kept
from fastvideo_engine.attention.tiles import TOKENS, tiling_of

Again = Literal["none", "selective", "full"]
"""What of a block's forward pass the backward pass computes again: nothing, all but attention, all."""

# Bytes that a block's forward pass keeps for each token and unit of width: so many, and so many more for each time
# that the feed-forward layer is wider than the model. Counted on diffusers' Wan, by method and bytes of the dtype.
_KEPT = {(True, 2): (68, 4.0), (True, 4): (89, 8.0), (False, 2): (60, 2.2), (False, 4): (58, 4.0)}
# A block's input; where attention is kept, the answers of both attentions besides.
_KEPT_AGAIN = {"selective": 3, "full": 1}


@dataclass(frozen=True)
class Workload:
    """What a step computes on: a grid of video tokens, rows of text, adapters of a rank, tiles that are passed over."""

    grid: tuple[int, int, int]
    text_rows: int
    rank: float | None = None
    """Of the adapters on the attention's layers; None where all weights are trained."""
    sparsity: float | None = None
    """Of video sparse attention; None where attention is dense and has no gates."""

    @property
    def tokens(self) -> int:
        return math.prod(self.grid)


@dataclass(frozen=True)
class Forward:
    """Operations of one forward pass by what becomes of them going backward; a multiplication and its sum are two."""

    embeddings: int
    layers: int
    attention: int
    adapters: float
    gates: int
    last: int

    @property
    def total(self) -> float:
        return self.embeddings + self.layers + self.attention + self.adapters + self.gates + self.last


def forward_operations(config: Mapping[str, Any], work: Workload) -> Forward:
    """Count a Wan transformer's matrix products for one clip; what is element by element is left out."""
    blocks, ffn, freq = (config[name] for name in ("num_layers", "ffn_dim", "freq_dim"))
    width = _width(config)
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


def needed_operations(config: Mapping[str, Any], work: Workload) -> float:
    """Count what forward and backward pass of one clip need, without what is computed twice to save memory.

    A frozen layer passes gradients on and needs none itself: one product less.
    """
    forward = forward_operations(config, work)
    trained_whole = 3 * (forward.attention + forward.adapters + forward.gates)
    if work.rank is None:
        return trained_whole + 3 * (forward.layers + forward.last + forward.embeddings)
    return trained_whole + 2 * (forward.layers + forward.last) + forward.embeddings


def executed_operations(config: Mapping[str, Any], work: Workload, again: Again) -> float:
    """Count what forward and backward pass of one clip compute, with what saves memory by being computed twice."""
    forward = forward_operations(config, work)
    twice = forward.attention / 2  # the scores, which flash attention never keeps
    if again != "none":
        twice += forward.layers + forward.adapters + forward.gates
    if again == "full":
        twice += forward.attention
    return needed_operations(config, work) + twice


def activation_bytes(config: Mapping[str, Any], work: Workload, again: Again, bytes_each: int) -> float:
    """Estimate what the forward pass of one clip keeps for the backward pass, computed in 2 or 4 bytes."""
    always, per_feed_forward = _KEPT[work.rank is None, bytes_each]
    of_one = work.tokens * (always * _width(config) + per_feed_forward * config["ffn_dim"])
    if again == "none":
        return float(config["num_layers"] * of_one)
    kept = _KEPT_AGAIN[again] * work.tokens * _width(config) * bytes_each
    return float(config["num_layers"] * kept + of_one)


def _width(config: Mapping[str, Any]) -> int:
    return int(config["num_attention_heads"] * config["attention_head_dim"])


def _scores(work: Workload) -> int:
    """Count the pairs of tokens that self-attention scores."""
    if not work.sparsity:
        return work.tokens**2
    tiles = tiling_of(work.grid, torch.device("cpu")).tiles
    kept = tiles_kept(work.sparsity, tiles)
    # Ragged tiles are computed whole, and the blurred look scores each tile against each.
    return work.tokens * kept * TOKENS + tiles**2
