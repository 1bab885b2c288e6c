"""Attention between whole tiles by their mean tokens: a blurred answer, and the scores that say which tiles matter."""

import math

import torch
from torch import Tensor

from fastvideo_engine.attention.tiles import TOKENS, Tiling

_ROUNDING = 1e-6


def tiles_kept(sparsity: float, tiles: int) -> int:
    """Return to how many tiles each tile attends; at least to one."""
    # (1 - 0.7) * 10 is 3.0000000000000004, which is no reason to keep a fourth tile.
    return min(tiles, max(1, math.ceil((1 - sparsity) * tiles - _ROUNDING)))


def coarse_attention(query: Tensor, key: Tensor, value: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor]:
    """Attend between the mean tokens of tiles BHPD; return the answers BHND and the scores BHNN, in float32.

    A tile counts as one whatever number of tokens it has, as it does in FastVideo.
    """
    # float32, even where a caller asks for autocast: which tiles are chosen should not hang on bfloat16's rounding.
    with torch.autocast(query.device.type, enabled=False):
        queries, keys, values = (_means(folded, tiling) for folded in (query, key, value))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return scores.softmax(dim=-1) @ values, scores


def chosen_tiles(scores: Tensor, kept: int) -> Tensor:
    """Return the indices BHNK of the tiles that each tile attends to; its own has to earn its place, too."""
    return scores.detach().topk(kept, dim=-1).indices


def _means(folded: Tensor, tiling: Tiling) -> Tensor:
    tiles = torch.unflatten(folded, 2, (tiling.tiles, TOKENS))
    return tiles.sum(dim=3, dtype=torch.float32) / tiling.sizes[:, None]
