"""What the tests of sparse attention share: tokens of a grid whose edge tiles are partial, and its tiles by hand."""

import itertools

import pytest
import torch


@pytest.fixture
def ragged_grid():
    return (5, 6, 7)


@pytest.fixture
def tokens(ragged_grid):
    """Draw query, key, value and gate BSHD for a grid of tokens."""

    def draw(grid=ragged_grid, batch=2, heads=2, width=16):
        generator = torch.Generator().manual_seed(11)
        shape = (batch, grid[0] * grid[1] * grid[2], heads, width)
        return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(4)]

    return draw


@pytest.fixture
def tiles_by_loops():
    """List the raster numbers of each tile's tokens, tiles and tokens by time, height, width, as FastVideo does."""

    def tiles(grid):
        _, rows, columns = grid
        starts = itertools.product(*(range(0, length, 4) for length in grid))
        ranges = ([range(at, min(at + 4, end)) for at, end in zip(start, grid, strict=True)] for start in starts)
        return [[(t * rows + h) * columns + w for t, h, w in itertools.product(*each)] for each in ranges]

    return tiles
