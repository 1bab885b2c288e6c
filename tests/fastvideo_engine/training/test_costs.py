"""The formulas of a step's costs, against what was measured of Wan and what PyTorch counts."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode

from fastvideo_engine.training.costs import (
    Blocks,
    Method,
    activation_bytes,
    attention_operations,
    linear_operations,
    step_operations,
)

_SMALL = Blocks(count=30, width=1536, feed_forward=8960, text=512)
_LARGE = Blocks(count=40, width=5120, feed_forward=13824, text=512)
_TOKENS = 31_200  # 77 frames of 832x480
# Rank 32 beside the four projections of both attentions.
_ADAPTERS = {blocks.width: blocks.count * 8 * 2 * blocks.width * 32 for blocks in (_SMALL, _LARGE)}


def _transformer(**changes):
    settings = {"num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512, "num_layers": 2}
    return WanTransformer3DModel(text_dim=32, freq_dim=32, **settings | changes)


@pytest.mark.parametrize(("blocks", "linear", "attention"), [(_SMALL, 78.2, 182.4), (_LARGE, 748.1, 810.5)])
def test_going_forward_takes_what_was_counted_of_wan(blocks, linear, attention):
    assert linear_operations(_TOKENS, blocks) / 1e12 == pytest.approx(linear, abs=0.06)
    assert attention_operations(_TOKENS, blocks) / 1e12 == pytest.approx(attention, abs=0.06)


@pytest.mark.parametrize(
    ("full", "again", "small", "large"),
    [
        (True, "none", 873, 5081),
        (True, "selective", 951, 5829),
        (True, "full", 1133, 6640),
        (False, "none", 798, 4348),
        (False, "selective", 877, 5101),
        (False, "full", 1060, 5911),
    ],
)
def test_a_step_takes_what_was_counted_of_wan(full, again, small, large):
    for blocks, wanted in ((_SMALL, small), (_LARGE, large)):
        method = Method(full, 0 if full else _ADAPTERS[blocks.width], again=again)
        assert step_operations(_TOKENS, blocks, method) / 1e12 == pytest.approx(wanted, rel=2e-3)


def test_operations_are_those_that_pytorch_counts():
    with torch.device("meta"):
        transformer = _transformer()
        latents, text = torch.empty(1, 16, 3, 16, 24), torch.empty(1, 512, 32)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            transformer(latents, torch.empty(1), text)
    counted = sum(sum(counter.get_flop_counts()[f"WanTransformer3DModel.blocks.{n}"].values()) for n in range(2))
    blocks = Blocks(count=2, width=128, feed_forward=512, text=512)
    assert counted == linear_operations(288, blocks) + attention_operations(288, blocks)


def test_sparse_attention_takes_its_share():
    dense, sparse = (step_operations(_TOKENS, _SMALL, Method(True, sparsity=share)) for share in (None, 0.9))
    assert sparse / dense == pytest.approx(0.406 / 1.105, rel=0.02)  # as measured of 1.3B


@pytest.mark.parametrize("bfloat16", [True, False])
def test_what_a_block_keeps_is_what_autograd_keeps(bfloat16):
    kept = [_kept_by(_transformer(num_layers=layers), bfloat16) for layers in (1, 3)]
    blocks = Blocks(count=1, width=128, feed_forward=512, text=512)
    estimated = activation_bytes(640, blocks, Method(full=True), 2 if bfloat16 else 4)
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
    assert activation_bytes(_TOKENS, _SMALL, Method(True, again=again), 2) == pytest.approx(wanted, rel=0.05)
