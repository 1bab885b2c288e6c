"""Training goes on from an adapter of any tool, and only where every part of it is trained on."""

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.adapters.applied import adapter_of, start_from
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.adapters.writing import widest_format, write_adapter
from fastvideo_engine.components import load_transformer
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import Lora
from fastvideo_engine.training.lora import add_adapter


@pytest.fixture
def fresh(tiny_wan):
    """Load the small transformer with fresh adapters, as training begins."""

    def make(rank, alpha):
        transformer = load_transformer(tiny_wan, torch.device("cpu"))
        add_adapter(transformer, FAMILIES[0], Lora(rank=rank, alpha=alpha), seed=0)
        return transformer

    return make


@pytest.mark.parametrize(("rank", "alpha"), [(4, 8), (4, 3), (6, 6)])
def test_training_begins_as_the_adapter_it_starts_from(rank, alpha, fresh, peft_wan, velocity):
    before, after = peft_wan(lora_alpha=8), fresh(rank, alpha)
    start_from(after, adapter_of(before))
    torch.testing.assert_close(velocity(after), velocity(before), rtol=1e-4, atol=1e-4)
    spare = [layer.lora_A["default"].weight[4:] for layer in after.modules() if isinstance(layer, LoraLayer)]
    assert all(rows.any(dim=1).all() for rows in spare)  # or what was added could never learn


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"targets": ["to_q", "ffn.net.2"]}, "changes 2 weights that are not trained here, such as blocks.0.ffn.net.2"),
        ({"use_dora": True}, "one is DoRA; choose the same for both"),
    ],
)
def test_an_adapter_that_cannot_be_trained_on_as_it_is_is_refused(settings, says, fresh, peft_wan):
    with pytest.raises(ModelError, match=says):
        start_from(fresh(4, 4), adapter_of(peft_wan(**settings)))


def test_gates_of_sparse_attention_go_with_their_adapter(peft_wan, fresh, tmp_path):
    gated, plain = peft_wan(), fresh(4, 4)
    for block in gated.blocks:
        block.to_gate_compress = nn.Linear(48, 48)
    write_adapter(adapter_of(gated), tmp_path / "a.safetensors", widest_format(adapter_of(gated)), {})
    adapter = read_adapter(tmp_path / "a.safetensors")
    assert len(adapter.gates) == 4
    assert torch.equal(adapter.gates["blocks.1.to_gate_compress.bias"], gated.blocks[1].to_gate_compress.bias)
    with pytest.raises(ModelError, match="was trained with sparse attention"):
        start_from(plain, adapter)
    for block in plain.blocks:
        block.to_gate_compress = nn.Linear(48, 48)
    start_from(plain, adapter)
    assert torch.equal(plain.blocks[0].to_gate_compress.weight, gated.blocks[0].to_gate_compress.weight)


def test_an_adapter_is_saved_in_the_format_that_most_tools_read_it_whole_in(peft_wan, tiny_wan_i2v):
    assert widest_format(adapter_of(peft_wan())) == "universal"
    assert widest_format(adapter_of(peft_wan(tiny_wan_i2v, targets=["to_k", "add_k_proj"]))) == "comfyui"
    assert widest_format(adapter_of(peft_wan(use_dora=True))) == "diffusers"
    plain = LowRank(torch.ones(1, 48), torch.ones(48, 1))
    assert widest_format(Adapter({"blocks.0.attn1.to_q": plain}, {"blocks.0.norm2.bias": torch.ones(48)})) == "comfyui"
