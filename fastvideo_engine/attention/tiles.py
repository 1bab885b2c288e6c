"""The grid of tokens cut into tiles of 4 x 4 x 4, which sparse attention takes or leaves whole."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

_SIDE = 4
TOKENS = _SIDE**3
"""Places in a tile; where the grid ends inside it, its tokens come first and the other places are empty."""


class Tiling(NamedTuple):
    """Where the tokens of one grid go: tiles follow one another by time, height, width, and so do tokens inside."""

    slots: Tensor
    """S: of each token in raster order, its place in the folded sequence of N * 64."""
    sizes: Tensor
    """N, int32: how many tokens each tile has."""
    ragged: bool
    """Some tile has empty places."""

    @property
    def tiles(self) -> int:
        return self.sizes.numel()


@lru_cache(maxsize=16)
def tiling_of(grid: tuple[int, int, int], device: torch.device) -> Tiling:
    """Cut a grid of frames, rows and columns of tokens into tiles; FastVideo orders them the same way."""
    frames, rows, columns = (torch.arange(length) // _SIDE for length in grid)
    tiles_down, tiles_across = (math.ceil(length / _SIDE) for length in grid[1:])
    tile = (frames[:, None, None] * tiles_down + rows[:, None]) * tiles_across + columns
    tile = tile.flatten()
    sizes = torch.bincount(tile)
    in_tile_order = tile.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    tiles = tile[in_tile_order]
    slots = torch.empty_like(tile)
    slots[in_tile_order] = tiles * TOKENS + torch.arange(len(tile)) - starts[tiles]
    ragged = bool((sizes < TOKENS).any())
    return Tiling(slots.to(device), sizes.int().to(device), ragged)


def fold(tokens: Tensor, tiling: Tiling) -> Tensor:
    """Put tokens BSHD into their tiles, BHPD with P = N * 64; empty places are zero."""
    batch, _, heads, width = tokens.shape
    folded = tokens.new_zeros(batch, heads, tiling.tiles * TOKENS, width)
    return folded.index_copy_(2, tiling.slots, tokens.transpose(1, 2))


def unfold(folded: Tensor, tiling: Tiling) -> Tensor:
    """Take the tokens BSHD back out of their tiles BHPD."""
    return folded.index_select(2, tiling.slots).transpose(1, 2)
