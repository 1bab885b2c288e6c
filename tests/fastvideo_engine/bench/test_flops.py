"""The arithmetic that the bench counts is what PyTorch counts operation by operation."""

from math import prod

import pytest
import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.bench.flops import Workload, forward_flops, step_flops
from fastvideo_engine.bench.random_wan import SUBJECTS, grid_of
from fastvideo_engine.families.wan import WAN

_GRID, _ROWS, _RANK = (3, 4, 6), 20, 4


def _transformer() -> WanTransformer3DModel:
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, ffn_dim=40, num_layers=2, freq_dim=16, text_dim=10
    )


def _inputs(transformer: WanTransformer3DModel, grid: tuple[int, int, int]) -> dict[str, Tensor]:
    frames, rows, columns = grid
    latents = torch.randn(1, transformer.config.in_channels, frames, 2 * rows, 2 * columns)
    text = torch.randn(1, _ROWS, transformer.config.text_dim)
    return {"hidden_states": latents, "timestep": torch.tensor([600.0]), "encoder_hidden_states": text}


def _counted(transformer: WanTransformer3DModel, inputs: dict[str, Tensor], learns: bool) -> int:
    # Attention in plain operations: of flash attention PyTorch counts the backward pass with what it computes twice.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = transformer(**inputs, return_dict=False)[0]
        if learns:
            output.sum().backward()
    return counter.get_total_flops()


def test_a_step_of_full_finetuning_is_counted_exactly():
    transformer = _transformer()
    # With gradients of the inputs, which a training does not need, each layer counts alike.
    inputs = {name: each.requires_grad_() for name, each in _inputs(transformer, _GRID).items()}
    work = Workload(_GRID, _ROWS)
    assert _counted(transformer, inputs, learns=False) == forward_flops(transformer.config, work).total
    assert _counted(transformer, inputs, learns=True) == step_flops(transformer.config, work)


def test_a_step_of_lora_is_counted_exactly():
    transformer = _transformer().requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=_RANK, target_modules=list(WAN.adapter_targets)))
    for embedding in (transformer.patch_embedding, transformer.condition_embedder.text_embedder):
        embedding.register_forward_hook(lambda _layer, _given, out: out.requires_grad_())
    work = Workload(_GRID, _ROWS, _RANK)
    inputs = _inputs(transformer, _GRID)
    assert _counted(transformer, inputs, learns=False) == forward_flops(transformer.config, work).total
    assert _counted(transformer, inputs, learns=True) == step_flops(transformer.config, work)


def test_sparse_attention_is_counted_by_the_tiles_that_it_keeps():
    transformer, grid = _transformer(), (4, 8, 12)
    add_sparse_attention(transformer, fastest_way(torch.device("cpu"), torch.float32, 12))
    set_sparsity(transformer, 0.5)
    work = Workload(grid, _ROWS, sparsity=0.5)
    counted = _counted(transformer, _inputs(transformer, grid), learns=False)
    assert counted == forward_flops(transformer.config, work).total


def test_wan_at_its_real_size_needs_the_published_arithmetic():
    with torch.device("meta"):
        config = WanTransformer3DModel.from_config(SUBJECTS["wan-1.3b"].config).config
    grid = grid_of(config, 77, 480, 832)
    assert prod(grid) == 31_200
    assert forward_flops(config, Workload(grid, WAN.text_length)).total / 1e12 == pytest.approx(260.562, abs=5e-4)
