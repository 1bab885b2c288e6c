"""Video sparse attention as one operation: a blurred look at all tiles and a sharp one at the few that matter."""

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor

from fastvideo_engine.attention.coarse import chosen_tiles, coarse_attention, tiles_kept
from fastvideo_engine.attention.fastest import Attend
from fastvideo_engine.attention.tiles import TOKENS, Tiling, fold, unfold


def sparse_attention(
    query: Tensor, key: Tensor, value: Tensor, gate: Tensor, tiling: Tiling, sparsity: float, attend: Attend
) -> Tensor:
    """Attend among tokens BSHD, each tile to the tiles that it scores highest, and add the blurred look times the gate.

    Where all tiles are kept and the gate is zero this is dense attention, bit for bit.
    """
    kept = tiles_kept(sparsity, tiling.tiles)
    dtype = value.dtype  # under autocast, norms leave query and key in float32
    queries, keys, values, gates = (fold(tokens.to(dtype), tiling) for tokens in (query, key, value, gate))
    coarse, scores = coarse_attention(queries, keys, values, tiling)
    blurred = (coarse.to(dtype).unsqueeze(3) * torch.unflatten(gates, 2, (tiling.tiles, TOKENS))).flatten(2, 3)
    if kept == tiling.tiles:
        dense: Tensor = dispatch_attention_fn(query, key, value)
        return dense + unfold(blurred, tiling)
    return unfold(attend(queries, keys, values, chosen_tiles(scores, kept), tiling) + blurred, tiling)
