"""Each tool finds every layer of an adapter in the format that is meant for it, and what has no place is named."""

import json
import re

import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.adapters.applied import adapter_of
from fastvideo_engine.adapters.export import run as export
from fastvideo_engine.adapters.reading import read_adapter, read_metadata
from fastvideo_engine.adapters.writing import write_adapter
from fastvideo_engine.errors import ModelError

ALL = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]
# What FastVideo's loader does to a key, in this order: authors' names to diffusers', diffusers' to its own.
FASTVIDEOS_RULES = (
    (r"^diffusion_model\.", ""),
    (r"\.weight$", ""),
    (r"^blocks\.(\d+)\.self_attn\.(q|k|v)\.", r"blocks.\1.attn1.to_\2."),
    (r"^blocks\.(\d+)\.self_attn\.o\.", r"blocks.\1.attn1.to_out.0."),
    (r"^blocks\.(\d+)\.cross_attn\.(q|k|v)\.", r"blocks.\1.attn2.to_\2."),
    (r"^blocks\.(\d+)\.cross_attn\.o\.", r"blocks.\1.attn2.to_out.0."),
    (r"^blocks\.(\d+)\.ffn\.0\.", r"blocks.\1.ffn.fc_in."),
    (r"^blocks\.(\d+)\.ffn\.2\.", r"blocks.\1.ffn.fc_out."),
    (r"^blocks\.(\d+)\.attn1\.to_(q|k|v)\.", r"blocks.\1.to_\2."),
    (r"^blocks\.(\d+)\.attn1\.to_out\.0\.", r"blocks.\1.to_out."),
    (r"^blocks\.(\d+)\.attn2\.to_out\.0\.", r"blocks.\1.attn2.to_out."),
    (r"^blocks\.(\d+)\.ffn\.net\.0\.proj\.", r"blocks.\1.ffn.fc_in."),
    (r"^blocks\.(\d+)\.ffn\.net\.2\.", r"blocks.\1.ffn.fc_out."),
)
FASTVIDEOS_LAYERS = re.compile(
    r"blocks\.[01]\.(to_[qkv]|to_out|attn2\.(to_[qkv]|to_out|add_[kv]_proj)|ffn\.fc_(in|out))\.lora_[AB]"
)


def as_fastvideo_names_it(key):
    for pattern, replacement in FASTVIDEOS_RULES:
        key = re.sub(pattern, replacement, key)
    return key


@pytest.fixture
def exported(tmp_path):
    def write(transformer, form):
        left_out = write_adapter(adapter_of(transformer), tmp_path / "a.safetensors", form, {"rank": 4})
        return tmp_path / "a.safetensors", left_out

    return write


@pytest.mark.parametrize("form", ["universal", "diffusers", "comfyui"])
def test_stock_diffusers_makes_the_same_of_the_file_as_was_trained(form, exported, peft_wan, tiny_wan, velocity):
    trained = peft_wan(targets=ALL)
    file, left_out = exported(trained, form)
    pipeline = WanPipeline.from_pretrained(tiny_wan)
    pipeline.load_lora_weights(file)
    torch.testing.assert_close(velocity(pipeline.transformer), velocity(trained), rtol=1e-4, atol=1e-4)
    assert left_out == []


@pytest.mark.parametrize("form", ["universal", "fastvideo"])
def test_fastvideo_finds_a_layer_for_every_tensor(form, exported, peft_wan, tiny_wan_i2v, matrices):
    targets = ALL if form == "universal" else [*ALL, "add_k_proj", "add_v_proj"]
    trained = peft_wan(tiny_wan_i2v, targets=targets)
    file, left_out = exported(trained, form)
    weights = load_file(file)
    found = {as_fastvideo_names_it(key): tensor for key, tensor in weights.items()}
    assert all(FASTVIDEOS_LAYERS.fullmatch(name) for name in found)
    assert (len(found), left_out) == (2 * len(matrices(trained)), [])
    down, up, scaling = matrices(trained)["blocks.1.attn1.to_out.0"]
    merged = found["blocks.1.to_out.lora_B"] @ found["blocks.1.to_out.lora_A"]  # as FastVideo does without an alpha
    torch.testing.assert_close(merged, up @ down * scaling["default"])


def test_the_image_projections_that_fastvideo_does_not_find_are_left_out_of_the_universal_file(
    exported, peft_wan, tiny_wan_i2v, velocity
):
    trained = peft_wan(tiny_wan_i2v, targets=[*ALL, "add_k_proj", "add_v_proj"])
    _, left_out = exported(trained, "universal")
    assert left_out == [f"blocks.{n}.attn2.add_{x}_proj" for n in (0, 1) for x in "kv"]
    file, none = exported(trained, "comfyui")
    pipeline = WanImageToVideoPipeline.from_pretrained(tiny_wan_i2v)
    pipeline.load_lora_weights(file)
    assert none == []
    torch.testing.assert_close(velocity(pipeline.transformer), velocity(trained), rtol=1e-4, atol=1e-4)


def test_comfyui_gets_the_authors_names_for_everything(tmp_path):
    differences = {
        "blocks.0.attn1.to_q.bias": torch.ones(48),
        "blocks.0.norm2.weight": torch.ones(48),
        "scale_shift_table": torch.ones(1, 2, 48),
    }
    layers = {"blocks.0.attn2.add_k_proj": LowRank(torch.ones(2, 48), torch.ones(48, 2), torch.ones(48))}
    write_adapter(Adapter(layers, differences), tmp_path / "a.safetensors", "comfyui", {})
    assert load_file(tmp_path / "a.safetensors").keys() == {
        "diffusion_model.blocks.0.self_attn.q.diff_b",
        "diffusion_model.blocks.0.norm3.diff",
        "diffusion_model.head.modulation.diff",
        "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight",
        "diffusion_model.blocks.0.cross_attn.k_img.lora_B.weight",
        "diffusion_model.blocks.0.cross_attn.k_img.dora_scale",
    }


@pytest.mark.parametrize("form", ["universal", "diffusers", "fastvideo", "comfyui"])
def test_what_is_exported_is_read_back_as_it_was_with_what_is_known_of_it(form, exported, peft_wan, matrices, tmp_path):
    trained = peft_wan(targets=ALL)
    file, _ = exported(trained, "universal")
    export(file, form, tmp_path / "again.safetensors", alpha=None)
    again = read_adapter(tmp_path / "again.safetensors")
    assert read_metadata(tmp_path / "again.safetensors") == {"rank": 4}
    for name, (down, up, scaling) in matrices(trained).items():
        assert torch.equal(again.layers[name].down, down)
        assert torch.equal(again.layers[name].up, up * scaling["default"])
    assert list(tmp_path.glob(".*")) == []


def test_dora_has_no_place_in_the_universal_file(exported, peft_wan):
    with pytest.raises(ModelError, match="The format universal can hold nothing of this adapter"):
        exported(peft_wan(use_dora=True), "universal")


def test_an_export_says_what_it_left_out(exported, peft_wan, tiny_wan_i2v, tmp_path, capsys):
    file, _ = exported(peft_wan(tiny_wan_i2v, targets=["to_k", "add_k_proj"]), "comfyui")
    export(file, "universal", tmp_path / "out.safetensors", alpha=None)
    assert "Wrote 4 of 6 weights" in capsys.readouterr().out
    with safe_open(tmp_path / "out.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["fastvideo_studio"]) == {"rank": 4}
