"""What the tests of sparse attention share: tokens of a grid whose edge tiles are partial, and its tiles by hand."""

import itertools

import pytest
import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.stored import gates


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


@pytest.fixture
def wan():
    """Make a small transformer of random weights, the same each time."""

    def make(**changes):
        torch.manual_seed(3)
        sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 8, "freq_dim": 16, "ffn_dim": 32}
        return WanTransformer3DModel(**sizes | {"num_layers": 2} | changes)

    return make


@pytest.fixture
def velocity():
    """Ask a transformer for the velocity at one fixed point of a ragged grid of 5 x 6 x 7 tokens, 8 tiles."""

    def predict(transformer, timestep=(700.0, 40.0)):
        generator = torch.Generator().manual_seed(4)
        latents = torch.randn(2, 16, 5, 12, 14, generator=generator)
        text = torch.randn(2, 20, 8, generator=generator)
        return transformer(latents, torch.tensor(timestep), text, return_dict=False)[0]

    return predict


@pytest.fixture
def open_gates():
    """Give the gates of a transformer weights that let much through."""

    def fill(transformer):
        generator = torch.Generator().manual_seed(5)
        for weight in gates(transformer).values():
            weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.5)

    return fill
