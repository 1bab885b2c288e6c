"""Adapters of every tool mean what they mean to the tool that wrote them; what is not understood is refused."""

import pytest
import torch
from diffusers import WanPipeline, WanTransformer3DModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from fastvideo_engine.adapters.applied import load_adapter
from fastvideo_engine.adapters.files import adapter_file, adapter_files
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.errors import ModelError

ALL = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]
BLOCK = {  # diffusers' layers, then what the authors and FastVideo call them
    "attn1.to_q": ("self_attn.q", "to_q"),
    "attn1.to_k": ("self_attn.k", "to_k"),
    "attn1.to_v": ("self_attn.v", "to_v"),
    "attn1.to_out.0": ("self_attn.o", "to_out"),
    "attn2.to_q": ("cross_attn.q", "attn2.to_q"),
    "attn2.to_k": ("cross_attn.k", "attn2.to_k"),
    "attn2.to_v": ("cross_attn.v", "attn2.to_v"),
    "attn2.to_out.0": ("cross_attn.o", "attn2.to_out"),
    "ffn.net.0.proj": ("ffn.0", "ffn.fc_in"),
    "ffn.net.2": ("ffn.2", "ffn.fc_out"),
}


def original(layer):
    _, block, name = layer.split(".", 2)
    return f"blocks.{block}.{BLOCK[name][0]}"


def fastvideos(layer):
    _, block, name = layer.split(".", 2)
    return f"blocks.{block}.{BLOCK[name][1]}"


def kohya(layer, down, up, alpha):
    stem = "lora_unet_" + original(layer).replace(".", "_")
    return {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(alpha)}


def comfyui(layer, down, up, alpha):
    stem = "diffusion_model." + original(layer)
    return {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up, f"{stem}.alpha": torch.tensor(alpha)}


def scaled(form, ending=".weight"):
    """A format without alpha, which has to be in B."""

    def write(layer, down, up, alpha):
        stem = form(layer)
        return {f"{stem}.lora_A{ending}": down, f"{stem}.lora_B{ending}": up * (alpha / len(down))}

    return write


def fastvideo_with_alpha(layer, down, up, alpha):
    stem = fastvideos(layer)
    return {f"{stem}.lora_A": down, f"{stem}.lora_B": up, f"{stem}.lora_alpha": torch.tensor(alpha)}


FORMATS = {
    "kohya": kohya,
    "comfyui with alpha": comfyui,
    "comfyui": scaled(lambda layer: "diffusion_model." + original(layer)),
    "bare original": scaled(original),
    "diffusers": scaled(lambda layer: "transformer." + layer),
    "bare diffusers": scaled(lambda layer: layer),
    "fastvideo": scaled(fastvideos, ending=""),
    "fastvideo with alpha": fastvideo_with_alpha,
}


@pytest.fixture
def written(peft_wan, matrices, tmp_path):
    """Write what a peft transformer does in one of the formats."""

    def write(form, transformer):
        tensors = {}
        for layer, (down, up, scaling) in matrices(transformer).items():
            tensors |= FORMATS[form](layer, down.clone(), up.clone(), scaling["default"] * len(down))
        save_file(tensors, tmp_path / "adapter.safetensors")
        return tmp_path / "adapter.safetensors"

    return write


def ours(folder, path, strength=1.0):
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer").requires_grad_(False)
    return load_adapter(transformer, path, strength)


@pytest.mark.parametrize("form", FORMATS)
def test_an_adapter_of_every_format_does_what_it_did_where_it_was_trained(form, written, peft_wan, tiny_wan, velocity):
    trained = peft_wan(targets=ALL)
    applied = ours(tiny_wan, written(form, trained))
    assert applied.adapter.count == 20
    torch.testing.assert_close(velocity(applied.transformer), velocity(trained), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["kohya", "comfyui with alpha", "comfyui", "diffusers"])
def test_an_adapter_does_what_diffusers_makes_of_its_file(form, written, peft_wan, tiny_wan, velocity):
    file = written(form, peft_wan(targets=ALL, lora_alpha=3))
    theirs = WanPipeline.from_pretrained(tiny_wan)
    theirs.load_lora_weights(file)
    torch.testing.assert_close(
        velocity(ours(tiny_wan, file).transformer), velocity(theirs.transformer), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_alpha": 3},
        {"use_rslora": True},
        {"use_dora": True},
        {"rank_pattern": {"attn1.to_q": 2}, "alpha_pattern": {"attn2.to_k": 7}},
    ],
    ids=str,
)
@pytest.mark.parametrize("tool", ["peft", "diffusers"])
def test_what_the_libraries_save_themselves_means_the_same(tool, settings, peft_wan, tiny_wan, velocity, tmp_path):
    trained = peft_wan(**settings)
    if tool == "peft":
        fresh = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer")
        model = get_peft_model(fresh, LoraConfig(**trained.peft_config["default"].to_dict()))
        model.base_model.model.load_state_dict(trained.state_dict())
        model.save_pretrained(tmp_path / "saved")
    else:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(trained))
        config = trained.peft_config["default"].to_dict() | {"target_modules": ["to_q"]}
        config = {name: value for name, value in config.items() if isinstance(value, (int, float, str, dict, list))}
        WanPipeline.save_lora_weights(tmp_path / "saved", layers, transformer_lora_adapter_metadata=config)
    torch.testing.assert_close(
        velocity(ours(tiny_wan, tmp_path / "saved").transformer), velocity(trained), rtol=1e-4, atol=1e-4
    )


def test_alpha_can_be_told_for_a_file_that_does_not_say_it_and_only_then(written, peft_wan, matrices):
    trained = peft_wan(lora_alpha=4)  # as large as the rank, so that B is as it was
    file = written("fastvideo", trained)
    layer = "blocks.1.attn2.to_k"
    _, up, _ = matrices(trained)[layer]
    assumed, told = read_adapter(file), read_adapter(file, alpha=10)
    assert torch.equal(assumed.layers[layer].up, up)
    assert torch.equal(told.layers[layer].up, up * 2.5)
    assert "does not say its alpha" in assumed.notices[0]
    assert told.notices == ()
    with pytest.raises(ModelError, match="says its alpha itself"):
        read_adapter(written("kohya", trained), alpha=10)


def test_whole_changes_of_biases_norms_and_tables_are_added_with_the_strength(tiny_wan, tmp_path, velocity):
    changes = {
        "self_attn.q.diff_b": ("blocks.0.attn1.to_q.bias", (48,)),
        "self_attn.norm_q.diff": ("blocks.0.attn1.norm_q.weight", (48,)),
        "norm3.diff_b": ("blocks.0.norm2.bias", (48,)),
        "modulation.diff": ("blocks.0.scale_shift_table", (1, 6, 48)),
        "ffn.2.diff": ("blocks.0.ffn.net.2.weight", (48, 64)),
    }
    tensors = {name: torch.randn(shape) for name, (_, shape) in changes.items()}
    tensors["norm3.diff"] = torch.zeros(48)  # as tools write for norms that did not change
    save_file({f"diffusion_model.blocks.0.{name}": t for name, t in tensors.items()}, tmp_path / "a.safetensors")
    by_hand = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer")
    before = velocity(by_hand)
    with torch.no_grad():
        for name, (parameter, _) in changes.items():
            by_hand.get_parameter(parameter).add_(tensors[name] * 0.5)
    applied = ours(tiny_wan, tmp_path / "a.safetensors", 0.5)
    assert applied.adapter.count == 5
    torch.testing.assert_close(velocity(applied.transformer), velocity(by_hand))
    applied.set_strength(0)
    assert torch.equal(velocity(applied.transformer), before)


def test_the_low_rank_change_of_a_convolution_is_that_of_its_kernel(tiny_wan, tmp_path):
    down, up = torch.randn(3, 16, 1, 2, 2), torch.randn(48, 3, 1, 1, 1)
    tensors = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(6.0)}
    save_file({f"lora_unet_patch_embedding.{name}": t for name, t in tensors.items()}, tmp_path / "a.safetensors")
    change = read_adapter(tmp_path / "a.safetensors").differences["patch_embedding.weight"]
    torch.testing.assert_close(change, 2 * torch.einsum("or,rithw->oithw", up.flatten(1), down))


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("diffusion_model.blocks.0.self_attn.q.lokr_w1", "are not an adapter of any layer that we know, such as"),
        ("transformer.single_blocks.0.attn.to_q.lora_A.weight", "are not an adapter of any layer that we know"),
        ("transformer.blocks.0.attn1.to_q.lora_A.weight", "half an adapter of blocks.0.attn1.to_q"),
        ("blocks.0.attn1.to_q.weight", "is not a LoRA that can be read"),
    ],
)
def test_what_is_no_adapter_of_ours_is_refused_in_a_sentence(key, says, tmp_path):
    save_file({key: torch.zeros(4, 48)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=says):
        read_adapter(tmp_path / "a.safetensors")


def test_the_file_is_found_in_the_folders_that_tools_write(tmp_path):
    for tool, name in (("peft", "adapter_model"), ("fastvideo", "transformer/diffusion_pytorch_model"), ("own", "my")):
        file = tmp_path / tool / f"{name}.safetensors"
        file.parent.mkdir(parents=True)
        file.touch()
        assert adapter_file(tmp_path / tool) == file
    (tmp_path / "own" / "another.safetensors").touch()
    with pytest.raises(ModelError, match=r"holds 2 \.safetensors files"):
        adapter_file(tmp_path / "own")
    with pytest.raises(ModelError, match="There is no adapter at"):
        adapter_file(tmp_path / "nothing")


def test_two_experts_take_their_own_files_and_share_one_that_names_neither(tmp_path):
    both = ("transformer", "transformer_2")
    high, low, plain = (tmp_path / f"{name}.safetensors" for name in ("x_HIGH_NOISE_64", "x_low_noise_64", "y"))
    for file in (high, low, plain):
        file.touch()
    assert adapter_files(tmp_path, both) == {"transformer": high, "transformer_2": low}
    assert adapter_files(low, both) == {"transformer_2": low}
    assert adapter_files(plain, both) == {"transformer": plain, "transformer_2": plain}
    assert adapter_files(high, ("transformer",)) == {"transformer": high}
