"""Sparse attention inside diffusers' Wan transformer."""

import pytest
import torch

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.stored import gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity, sparsity_of, way_of

WAY = fastest_way(torch.device("cpu"), torch.float32, 12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_it_is_sparse_the_model_computes_bit_for_bit_what_it_did(wan, velocity, dtype):
    dense, sparse = wan(), wan()
    add_sparse_attention(sparse, WAY)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        expected, computed = velocity(dense), velocity(sparse)
    assert torch.equal(computed, expected)
    weights = dict(dense.named_parameters())
    expected.square().mean().backward()
    computed.square().mean().backward()
    for name, weight in sparse.named_parameters():
        if name in weights and weight.grad is not None:
            torch.testing.assert_close(weight.grad, weights[name].grad, rtol=1e-5, atol=1e-6)


def test_tokens_may_have_timesteps_of_their_own(wan, velocity):
    timestep = torch.rand(2, 5 * 6 * 7, generator=torch.Generator().manual_seed(1)) * 1000
    sparse = wan()
    add_sparse_attention(sparse, WAY)
    assert torch.equal(velocity(sparse, timestep.tolist()), velocity(wan(), timestep.tolist()))


def test_sparsity_and_gates_each_change_the_result_and_reach_every_block(wan, velocity, open_gates):
    transformer = wan()
    add_sparse_attention(transformer, WAY)
    dense = velocity(transformer)
    set_sparsity(transformer, 0.75)
    sparse = velocity(transformer)
    open_gates(transformer)
    gated = velocity(transformer)
    assert not torch.allclose(sparse, dense, atol=1e-3)
    assert not torch.allclose(gated, sparse, atol=1e-3)
    gated.square().mean().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in gates(transformer).values())


def test_computing_blocks_again_in_the_backward_pass_changes_no_gradient(wan, velocity, open_gates):
    transformer = wan()
    add_sparse_attention(transformer, WAY)
    set_sparsity(transformer, 0.75)
    open_gates(transformer)
    velocity(transformer).square().mean().backward()
    expected = {name: weight.grad for name, weight in gates(transformer).items()}
    transformer.zero_grad()
    transformer.enable_gradient_checkpointing()
    velocity(transformer).square().mean().backward()
    for name, weight in gates(transformer).items():
        torch.testing.assert_close(weight.grad, expected[name])


def test_a_dense_transformer_has_no_sparsity_and_is_left_as_it_is(wan):
    transformer = wan()
    set_sparsity(transformer, 0.5)
    assert (sparsity_of(transformer), way_of(transformer)) == (None, None)
    assert gates(transformer) == {}
