"""Sparse attention inside diffusers' Wan transformer."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.wan import add_sparse_attention, gates, gates_in, load_gates
from fastvideo_engine.errors import ModelError

WAY = fastest_way(torch.device("cpu"), torch.float32, 12)


@pytest.fixture
def wan():
    """Make a small transformer of random weights, the same each time."""

    def make(**changes):
        torch.manual_seed(3)
        sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 8, "freq_dim": 16, "ffn_dim": 32}
        return WanTransformer3DModel(**sizes | {"num_layers": 2} | changes)

    return make


def velocity(transformer, timestep=(700.0, 40.0)):
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(2, 16, 5, 12, 14, generator=generator)  # 5 x 6 x 7 tokens: 8 tiles
    text = torch.randn(2, 20, 8, generator=generator)
    return transformer(latents, torch.tensor(timestep), text, return_dict=False)[0]


def open_gates(transformer):
    generator = torch.Generator().manual_seed(5)
    for weight in gates(transformer).values():
        weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_it_is_sparse_the_model_computes_bit_for_bit_what_it_did(wan, dtype):
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


def test_tokens_may_have_timesteps_of_their_own(wan):
    timestep = torch.rand(2, 5 * 6 * 7, generator=torch.Generator().manual_seed(1)) * 1000
    sparse = wan()
    add_sparse_attention(sparse, WAY)
    assert torch.equal(velocity(sparse, timestep.tolist()), velocity(wan(), timestep.tolist()))


def test_sparsity_and_gates_each_change_the_result_and_reach_every_block(wan):
    transformer = wan()
    attention = add_sparse_attention(transformer, WAY)
    dense = velocity(transformer)
    attention.sparsity = 0.75
    sparse = velocity(transformer)
    open_gates(transformer)
    gated = velocity(transformer)
    assert not torch.allclose(sparse, dense, atol=1e-3)
    assert not torch.allclose(gated, sparse, atol=1e-3)
    gated.square().mean().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in gates(transformer).values())


def test_computing_blocks_again_in_the_backward_pass_changes_no_gradient(wan):
    transformer = wan()
    add_sparse_attention(transformer, WAY).sparsity = 0.75
    open_gates(transformer)
    velocity(transformer).square().mean().backward()
    expected = {name: weight.grad for name, weight in gates(transformer).items()}
    transformer.zero_grad()
    transformer.enable_gradient_checkpointing()
    velocity(transformer).square().mean().backward()
    for name, weight in gates(transformer).items():
        torch.testing.assert_close(weight.grad, expected[name])


def test_gates_are_named_as_fastvideo_names_them_and_load_back(wan, tmp_path):
    saved, loaded = wan(), wan()
    for transformer in (saved, loaded):
        add_sparse_attention(transformer, WAY).sparsity = 0.5
    open_gates(saved)
    saved.save_pretrained(tmp_path)
    found = gates_in(tmp_path)
    names = {f"blocks.{block}.to_gate_compress.{part}" for block in (0, 1) for part in ("weight", "bias")}
    assert found.keys() == names
    load_gates(loaded, found, tmp_path)
    assert torch.equal(velocity(loaded), velocity(saved))


def test_gates_of_another_model_are_refused(wan, tmp_path):
    deeper, transformer = wan(num_layers=3), wan()
    for each in (deeper, transformer):
        add_sparse_attention(each, WAY)
    file = tmp_path / "adapter.safetensors"
    save_file({f"diffusion_model.{name}": weight.detach() for name, weight in gates(deeper).items()}, file)
    with pytest.raises(ModelError, match=r"2 of 4 weights, such as blocks\.2\.to_gate_compress\.bias"):
        load_gates(transformer, gates_in(file), file)
