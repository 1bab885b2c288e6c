"""The formulas of a step's costs, against what was measured of Wan and what PyTorch counts."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.bench.random_wan import SUBJECTS, grid_of
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.training.costs import (
    Workload,
    activation_bytes,
    executed_operations,
    forward_operations,
    needed_operations,
)

_GRID, _ROWS, _RANK = (3, 4, 6), 20, 4
# Wan 1.3B and 14B, on 77 frames of 832x480.
_SMALL, _LARGE = (
    {"num_layers": layers, "num_attention_heads": heads, "attention_head_dim": 128, "ffn_dim": wide}
    | {"freq_dim": 256, "text_dim": 4096, "in_channels": 16, "out_channels": 16, "patch_size": (1, 2, 2)}
    for layers, heads, wide in ((30, 12, 8960), (40, 40, 13824))
)
_CLIP = (20, 30, 52)


def _tiny() -> WanTransformer3DModel:
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
    transformer = _tiny()
    # With gradients of the inputs, which a training does not need, each layer counts alike.
    inputs = {name: each.requires_grad_() for name, each in _inputs(transformer, _GRID).items()}
    work = Workload(_GRID, _ROWS)
    assert _counted(transformer, inputs, learns=False) == forward_operations(transformer.config, work).total
    assert _counted(transformer, inputs, learns=True) == needed_operations(transformer.config, work)


def test_a_step_of_lora_is_counted_exactly():
    transformer = _tiny().requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=_RANK, target_modules=list(WAN.adapter_targets)))
    for embedding in (transformer.patch_embedding, transformer.condition_embedder.text_embedder):
        embedding.register_forward_hook(lambda _layer, _given, out: out.requires_grad_())
    work = Workload(_GRID, _ROWS, _RANK)
    inputs = _inputs(transformer, _GRID)
    assert _counted(transformer, inputs, learns=False) == forward_operations(transformer.config, work).total
    assert _counted(transformer, inputs, learns=True) == needed_operations(transformer.config, work)


def test_sparse_attention_is_counted_by_the_tiles_that_it_keeps():
    transformer, grid = _tiny(), (4, 8, 12)
    add_sparse_attention(transformer, fastest_way(torch.device("cpu"), torch.float32, 12))
    set_sparsity(transformer, 0.5)
    work = Workload(grid, _ROWS, sparsity=0.5)
    counted = _counted(transformer, _inputs(transformer, grid), learns=False)
    assert counted == forward_operations(transformer.config, work).total


@pytest.mark.parametrize(("config", "linear", "attention"), [(_SMALL, 78.2, 182.4), (_LARGE, 748.1, 810.5)])
def test_going_forward_takes_what_was_counted_of_wan(config, linear, attention):
    forward = forward_operations(config, Workload(_CLIP, 512))
    assert forward.layers / 1e12 == pytest.approx(linear, abs=0.06)
    assert forward.attention / 1e12 == pytest.approx(attention, abs=0.06)


def test_wan_at_its_real_size_needs_the_published_arithmetic():
    with torch.device("meta"):
        config = WanTransformer3DModel.from_config(SUBJECTS["wan-1.3b"].config).config
    assert grid_of(config, 77, 480, 832) == _CLIP
    assert forward_operations(config, Workload(_CLIP, WAN.text_length)).total / 1e12 == pytest.approx(260.562, abs=5e-4)


@pytest.mark.parametrize(
    ("rank", "again", "small", "large"),
    [
        (None, "none", 873, 5081),
        (None, "selective", 951, 5829),
        (None, "full", 1133, 6640),
        (32, "none", 798, 4348),
        (32, "selective", 877, 5101),
        (32, "full", 1060, 5911),
    ],
)
def test_a_step_takes_what_was_counted_of_wan(rank, again, small, large):
    for config, wanted in ((_SMALL, small), (_LARGE, large)):
        counted = executed_operations(config, Workload(_CLIP, 512, rank), again)
        assert counted / 1e12 == pytest.approx(wanted, rel=2e-3)


def test_sparse_attention_takes_its_share():
    dense, sparse = (executed_operations(_SMALL, Workload(_CLIP, 512, None, share), "none") for share in (None, 0.9))
    assert sparse / dense == pytest.approx(0.406 / 1.105, rel=0.02)  # as measured of 1.3B


def _transformer(**changes):
    settings = {"num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512, "num_layers": 2}
    return WanTransformer3DModel(text_dim=32, freq_dim=32, **settings | changes)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_what_a_block_keeps_is_what_autograd_keeps(bfloat16):
    kept = [_kept_by(_transformer(num_layers=layers), bfloat16) for layers in (1, 3)]
    config = {"num_layers": 1, "num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512}
    estimated = activation_bytes(config, Workload((5, 16, 8), 16), "none", 2 if bfloat16 else 4)
    assert estimated == pytest.approx((kept[1] - kept[0]) / 2, rel=0.1)


def _kept_by(transformer, bfloat16):
    parameters, kept = {weight.data_ptr() for weight in transformer.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        transformer(torch.randn(1, 16, 5, 32, 16), torch.tensor([500.0]), torch.randn(1, 16, 32))
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize(("again", "wanted"), [("none", 133e9), ("selective", 9e9 + 4.4e9), ("full", 2.9e9 + 4.4e9)])
def test_computing_again_keeps_what_was_measured_of_wan(again, wanted):
    assert activation_bytes(_SMALL, Workload(_CLIP, 512), again, 2) == pytest.approx(wanted, rel=0.05)
