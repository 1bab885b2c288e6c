"""Keeping less of the forward pass changes no gradient; selective computes no attention twice, full does."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastvideo_engine.components import load_transformer
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import Lora
from fastvideo_engine.training.activations import compute_again
from fastvideo_engine.training.flow_matching import Batch, flow_matching_loss
from fastvideo_engine.training.lora import add_adapter


class _Counting(TorchDispatchMode):
    """Counts the operations of some names."""

    def __init__(self):
        super().__init__()
        self.attention = self.products = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        self.attention += "attention" in str(operation) and "backward" not in str(operation)
        self.products += "addmm" in str(operation)
        return operation(*arguments, **keywords or {})


@pytest.fixture
def gradients(tiny_wan):
    def compute(again=None):
        torch.manual_seed(0)
        transformer = load_transformer(tiny_wan, torch.device("cpu"))
        weights = add_adapter(transformer, FAMILIES[0], Lora(rank=4), seed=1)
        if again:
            compute_again(transformer, again)
        latents, noise = torch.randn(2, 1, 16, 2, 8, 12).unbind(0)
        batch = Batch(latents, torch.randn(1, 512, 32), noise, torch.tensor([0.7]))
        with _Counting() as counted:
            flow_matching_loss(transformer, batch).backward()
        return [weight.grad for weight in weights], counted

    return compute


@pytest.mark.parametrize(("again", "attentions"), [("selective", 4), ("full", 8)])
def test_gradients_stay_the_same_and_attention_is_computed_again_only_in_full(gradients, again, attentions):
    plain, plain_count = gradients()
    sparing, sparing_count = gradients(again)
    for one, other in zip(plain, sparing, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
    assert plain_count.attention == 4
    assert sparing_count.attention == attentions
    assert sparing_count.products > plain_count.products
