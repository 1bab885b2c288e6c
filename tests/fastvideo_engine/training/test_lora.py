"""Adapters: no change at first, the same in diffusers as in training, and never silently left out."""

import json

import pytest
import torch
from diffusers import WanPipeline
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fastvideo_engine.adapters.applied import adapted_layers, adapter_of, load_adapter
from fastvideo_engine.components import load_transformer
from fastvideo_engine.errors import ModelError, SpecError
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import Lora
from fastvideo_engine.training.lora import adapter_weights, add_adapter, save_adapter

WAN = FAMILIES[0]
CPU = torch.device("cpu")
LAYERS = 16  # q, k, v and output of two attentions in two blocks


@pytest.fixture
def adapter(adapted_wan, tmp_path):
    path = tmp_path / "adapter.safetensors"
    save_adapter(adapter_of(adapted_wan()), path, {"rank": 4, "alpha": 8.0})
    return path


def test_fresh_adapters_change_nothing_and_all_of_them_train(tiny_wan, velocity):
    transformer = load_transformer(tiny_wan, CPU)
    base = velocity(transformer)
    trained = add_adapter(transformer, WAN, Lora(rank=4, alpha=8), seed=1)
    assert torch.equal(velocity(transformer), base)
    assert len(trained) == 2 * LAYERS
    assert {id(weight) for weight in transformer.parameters() if weight.requires_grad} == {id(w) for w in trained}


KINDS = [
    {"rank_stabilized": True},
    {"weight_decomposed": True},
    {"weight_decomposed": True, "dropout": 0.5},
    {"targets": [r"blocks\.\d+\..*", "text_embedder.linear_1", "linear_2", "time_proj", "proj_out"]},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_fresh_adapters_of_every_kind_change_nothing(tiny_wan, velocity, kind, dtype):
    transformer = load_transformer(tiny_wan, CPU, dtype)
    base = velocity(transformer)
    trained = add_adapter(transformer, WAN, Lora(rank=4, **kind), seed=1)
    assert torch.equal(velocity(transformer.eval()), base)
    assert {weight.dtype for weight in trained} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_of_every_kind_do_in_stock_diffusers_what_they_did_here(
    adapted_wan, tiny_wan, tmp_path, velocity, kind
):
    ours = adapted_wan(**kind)
    for name, weight in ours.named_parameters():
        if "lora_magnitude" in name:
            weight.data *= torch.linspace(0.8, 1.2, len(weight))
    save_adapter(adapter_of(ours), tmp_path / "adapter.safetensors", {})
    pipeline = WanPipeline.from_pretrained(tiny_wan)
    pipeline.load_lora_weights(tmp_path / "adapter.safetensors")
    loaded = load_transformer(tiny_wan, CPU)
    applied = load_adapter(loaded, tmp_path / "adapter.safetensors", strength=1.0)
    assert applied.adapter.count == len(list(adapted_layers(ours)))
    assert (velocity(ours) - velocity(load_transformer(tiny_wan, CPU))).abs().max() > 0.01
    for theirs in (pipeline.transformer, loaded):
        torch.testing.assert_close(velocity(theirs), velocity(ours), rtol=1e-3, atol=1e-4)


def test_rank_stabilized_adapters_weigh_alpha_by_the_root_of_the_rank(adapted_wan, velocity):
    torch.testing.assert_close(
        velocity(adapted_wan(alpha=4.0, rank_stabilized=True)), velocity(adapted_wan(alpha=8.0)), rtol=0, atol=0
    )


def test_layers_are_chosen_by_the_end_of_their_name_or_by_a_whole_regular_expression(tiny_wan):
    def chosen(*targets):
        transformer = load_transformer(tiny_wan, CPU)
        add_adapter(transformer, WAN, Lora(rank=4, targets=list(targets)), seed=1)
        return [name for name, _ in adapted_layers(transformer)]

    assert chosen("attn1.to_q", "net.2") == [
        f"blocks.{n}.{layer}" for n in (0, 1) for layer in ("attn1.to_q", "ffn.net.2")
    ]
    assert chosen(r"blocks\.1\.attn2\.to_[qk]") == ["blocks.1.attn2.to_q", "blocks.1.attn2.to_k"]
    with pytest.raises(SpecError, match=r"No linear layer of this model is called to_z; choose among ends such as"):
        chosen("to_q", "to_z")


def test_dropout_leaves_out_part_of_the_adapters_only_while_training(adapted_wan, velocity):
    transformer = adapted_wan(dropout=0.5)
    assert torch.equal(velocity(transformer), velocity(adapted_wan()))
    transformer.train()
    assert not torch.equal(velocity(transformer), velocity(transformer))


def test_fresh_adapters_depend_on_the_seed_alone(tiny_wan):
    def start(seed):
        transformer = load_transformer(tiny_wan, CPU)
        add_adapter(transformer, WAN, Lora(rank=4), seed)
        return adapter_weights(transformer)["blocks.0.attn1.to_q.lora_A"]

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_stock_diffusers_applies_every_layer_of_a_saved_adapter(adapted_wan, adapter, tiny_wan, velocity):
    pipeline = WanPipeline.from_pretrained(tiny_wan)
    base = velocity(pipeline.transformer)
    pipeline.load_lora_weights(adapter)
    adapted = [layer for layer in pipeline.transformer.modules() if isinstance(layer, LoraLayer)]
    theirs, ours = velocity(pipeline.transformer), velocity(adapted_wan())
    assert len(adapted) == LAYERS
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert (ours - base).abs().max() > 0.01


def test_a_saved_adapter_has_the_authors_names_in_float32_and_alpha_in_b(adapted_wan, adapter):
    weights = load_file(adapter)
    ours = adapter_weights(adapted_wan())
    parts = [f"{attention}.{layer}" for attention in ("self_attn", "cross_attn") for layer in "qkvo"]
    names = {f"diffusion_model.blocks.{n}.{part}.lora_{m}.weight" for n in (0, 1) for part in parts for m in "AB"}
    assert set(weights) == names
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    saved = weights["diffusion_model.blocks.1.cross_attn.o.lora_B.weight"]
    assert torch.equal(saved, ours["blocks.1.attn2.to_out.0.lora_B"] * 2)


def test_a_saved_adapter_says_what_it_is(adapter):
    with safe_open(adapter, "pt") as file:
        assert json.loads(file.metadata()["fastvideo_studio"]) == {"rank": 4, "alpha": 8.0}


def test_a_loaded_adapter_does_what_it_did_in_training(adapted_wan, adapter, tiny_wan, velocity):
    transformer = load_transformer(tiny_wan, CPU)
    assert load_adapter(transformer, adapter, strength=1.0).adapter.count == LAYERS
    torch.testing.assert_close(velocity(transformer), velocity(adapted_wan()), rtol=1e-4, atol=1e-5)
    assert not any(weight.requires_grad for weight in transformer.parameters())


def test_strength_scales_an_adapter_and_zero_is_the_base(adapted_wan, adapter, tiny_wan, velocity):
    base, half = (load_transformer(tiny_wan, CPU) for _ in range(2))
    without = velocity(base)
    load_adapter(base, adapter, strength=0.0)
    load_adapter(half, adapter, strength=0.5)
    assert torch.equal(velocity(base), without)
    torch.testing.assert_close(velocity(half), velocity(adapted_wan(alpha=4.0)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("misfit", ["a layer that is not there", "another width", "half a layer"])
def test_an_adapter_of_another_model_is_refused(adapter, tiny_wan, misfit):
    weights = load_file(adapter)
    first = sorted(weights)[0]
    if misfit == "half a layer":
        del weights[first]
    elif misfit == "another width":
        weights[first] = torch.zeros(4, 100)
    else:
        weights |= {f"diffusion_model.blocks.30.self_attn.q.lora_{m}.weight": torch.zeros(4, 4) for m in "AB"}
    save_file(weights, adapter)
    with pytest.raises(
        ModelError,
        match=r"was not made for this model \(1 of its 1\d weights do not fit, such as|holds half an adapter",
    ):
        load_adapter(load_transformer(tiny_wan, CPU), adapter, strength=1.0)


@pytest.mark.parametrize("content", [None, b"not safetensors"])
def test_what_is_no_adapter_is_refused(tiny_wan, tmp_path, content):
    path = tmp_path / "adapter.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"There is no adapter at|is not a LoRA that can be read"):
        load_adapter(load_transformer(tiny_wan, CPU), path, strength=1.0)


def test_weights_that_are_no_adapter_are_refused(tiny_wan):
    whole_model = tiny_wan / "transformer" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(ModelError):
        load_adapter(load_transformer(tiny_wan, CPU), whole_model, strength=1.0)


def test_on_a_bfloat16_base_adapters_stay_float32_and_activations_bfloat16(adapted_wan, velocity):
    transformer = adapted_wan(dtype=torch.bfloat16)
    seen = []
    layer = transformer.get_submodule("blocks.0.attn1.to_q")
    layer.lora_A["default"].register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
    torch.testing.assert_close(velocity(transformer), velocity(adapted_wan()), rtol=0.1, atol=0.1)
    assert {tensor.dtype for tensor in seen[0]} == {torch.bfloat16}
    assert {weight.dtype for weight in adapter_weights(transformer).values()} == {torch.float32}
