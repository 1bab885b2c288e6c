"""The order of tokens in tiles."""

import pytest
import torch

from fastvideo_engine.attention.tiles import TOKENS, fold, tiling_of, unfold

CPU = torch.device("cpu")


@pytest.mark.parametrize("grid", [(8, 4, 12), (5, 6, 7), (1, 2, 3), (20, 30, 52)])
def test_tokens_are_folded_in_fastvideos_order_with_valid_ones_first(grid, tiles_by_loops):
    tiling = tiling_of(grid, CPU)
    raster = torch.arange(1, 1 + grid[0] * grid[1] * grid[2], dtype=torch.float32).view(1, -1, 1, 1)
    expected = [[number + 1 for number in tile] + [0] * (TOKENS - len(tile)) for tile in tiles_by_loops(grid)]
    assert fold(raster, tiling).view(-1, TOKENS).tolist() == expected
    assert tiling.sizes.tolist() == [len(tile) for tile in tiles_by_loops(grid)]
    assert tiling.ragged == any(length % 4 for length in grid)


def test_unfolding_restores_what_was_folded(tokens, ragged_grid):
    tiling = tiling_of(ragged_grid, CPU)
    query = tokens()[0]
    assert torch.equal(unfold(fold(query, tiling), tiling), query)
