"""Sparse attention against a float64 formula written token by token."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fastvideo_engine.attention.coarse import tiles_kept
from fastvideo_engine.attention.gathering import attend_by_gathering
from fastvideo_engine.attention.sparse import sparse_attention
from fastvideo_engine.attention.tiles import fold, tiling_of, unfold

CPU = torch.device("cpu")


def sparse_by_the_formula(query, key, value, gate, sparsity, tiles):
    query, key, value, gate = (each.double() for each in (query, key, value, gate))
    kept = math.ceil(round((1 - sparsity) * len(tiles), 6))
    means = [torch.stack([each[:, tile].mean(1) for tile in tiles], 1) for each in (query, key, value)]
    answer = torch.zeros_like(query)
    for batch in range(query.shape[0]):
        for head in range(query.shape[2]):
            asked, asking, told = (each[batch, :, head] for each in (means[1], means[0], means[2]))
            scores = asking @ asked.T / query.shape[-1] ** 0.5
            blurred = scores.softmax(1) @ told
            for number, tile in enumerate(tiles):
                best = scores[number].argsort(descending=True)[:kept].tolist()
                seen = [token for one in best for token in tiles[one]]
                logits = query[batch, tile, head] @ key[batch, seen, head].T / query.shape[-1] ** 0.5
                sharp = logits.softmax(1) @ value[batch, seen, head]
                answer[batch, tile, head] = sharp + gate[batch, tile, head] * blurred[number]
    return answer


def dense_attention(*tokens):
    return scaled_dot_product_attention(*(each.transpose(1, 2) for each in tokens)).transpose(1, 2)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.7, 0.99])
def test_answers_and_gradients_are_those_of_the_formula(tokens, ragged_grid, tiles_by_loops, sparsity):
    tiling = tiling_of(ragged_grid, CPU)
    ours = sparse_attention(*(inputs := tokens()), tiling, sparsity, attend_by_gathering)
    theirs = sparse_by_the_formula(*(same := tokens()), sparsity, tiles_by_loops(ragged_grid))
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=2e-6)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((ours * weights).sum(), inputs)
    expected = torch.autograd.grad((theirs * weights).sum(), same)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


def test_gathering_in_parts_gives_what_attending_at_once_gives(tokens):
    tiling = tiling_of((16, 16, 16), CPU)  # whose tiles, all gathered at once, would take 268 MB
    *inputs, weights = tokens((16, 16, 16), batch=1, width=64)
    everything = torch.arange(tiling.tiles).expand(1, 2, tiling.tiles, tiling.tiles)
    folded = [fold(each, tiling) for each in inputs]
    answer = unfold(attend_by_gathering(*folded, everything, tiling), tiling)
    expected = dense_attention(*inputs)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    gradients, others = (torch.autograd.grad((each * weights).sum(), inputs) for each in (answer, expected))
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4)


def test_with_all_tiles_and_a_closed_gate_it_is_dense_attention_bit_for_bit(tokens, ragged_grid):
    query, key, value, gate = tokens()
    sparse = sparse_attention(query, key, value, gate * 0, tiling_of(ragged_grid, CPU), 0.0, attend_by_gathering)
    assert torch.equal(sparse, dense_attention(query, key, value))


@pytest.mark.parametrize(
    ("sparsity", "tiles", "kept"),
    [(0.0, 10, 10), (0.7, 10, 3), (0.9, 624, 63), (0.8, 520, 104), (0.9, 5, 1), (0.9999, 5, 1)],
)
def test_the_share_of_tiles_kept_is_rounded_up_and_never_by_the_computers_rounding(sparsity, tiles, kept):
    assert tiles_kept(sparsity, tiles) == kept
