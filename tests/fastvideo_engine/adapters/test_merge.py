"""A merged model is a model: stock diffusers loads it, and it does what the base did with the adapter."""

import json
import shutil

import pytest
import torch
from diffusers import WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file

from fastvideo_engine.adapters.applied import adapter_of, load_adapter
from fastvideo_engine.adapters.merge import run as merge
from fastvideo_engine.adapters.writing import write_adapter
from fastvideo_engine.errors import ModelError, StorageError

ALL = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


@pytest.fixture
def saved(peft_wan, tmp_path):
    """Write the adapter of a peft transformer to a file."""

    def write(name="adapter", form="comfyui", **settings):
        file = tmp_path / f"{name}.safetensors"
        write_adapter(adapter_of(peft_wan(**settings)), file, form, {})
        return file

    return write


@pytest.fixture
def copied_wan(tiny_wan, tmp_path):
    """A copy of the small model that a test may change."""
    return shutil.copytree(tiny_wan, tmp_path / "model")


@pytest.mark.parametrize("settings", [{"targets": ALL}, {"use_dora": True}], ids=["lora", "dora"])
def test_plain_diffusers_loads_a_merged_model_that_does_what_the_adapter_did(
    settings, saved, peft_wan, tiny_wan, tmp_path, velocity
):
    merge(str(tiny_wan), saved(**settings), 1.0, tmp_path / "merged")
    pipeline = WanPipeline.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(velocity(pipeline.transformer), velocity(peft_wan(**settings)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}], ids=["lora", "dora"])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_a_strength_merges_as_it_samples(settings, strength, saved, tiny_wan, tmp_path, velocity):
    file = saved(**settings)
    merge(str(tiny_wan), file, strength, tmp_path / "merged")
    sampled = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer").requires_grad_(False)
    load_adapter(sampled, file, strength)
    merged = WanTransformer3DModel.from_pretrained(tmp_path / "merged" / "transformer")
    torch.testing.assert_close(velocity(merged), velocity(sampled), rtol=1e-4, atol=1e-4)


def test_sharded_half_precision_weights_stay_so_and_only_adapted_ones_change(
    saved, copied_wan, tiny_wan, tmp_path, matrices, peft_wan
):
    base = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer", torch_dtype=torch.bfloat16)
    shutil.rmtree(copied_wan / "transformer")
    base.save_pretrained(copied_wan / "transformer", max_shard_size="60KB")
    merge(str(copied_wan), saved(targets=["to_q"]), 1.0, tmp_path / "merged")
    shards = sorted((copied_wan / "transformer").glob("*.safetensors"))
    assert len(shards) > 2  # with norms and tables in float32 among them, as diffusers keeps them
    for shard in shards:
        before, after = load_file(shard), load_file(tmp_path / "merged" / "transformer" / shard.name)
        assert before.keys() == after.keys()
        for name, weight in before.items():
            expected = weight
            if name.endswith("to_q.weight"):
                down, up, _ = matrices(peft_wan(targets=["to_q"]))[name.removesuffix(".weight")]
                expected = (weight.float() + 2 * up @ down).bfloat16()
            torch.testing.assert_close(after[name], expected, rtol=0.01, atol=1e-3)
    WanTransformer3DModel.from_pretrained(tmp_path / "merged" / "transformer")


def test_two_experts_get_their_own_adapters(saved, peft_wan, copied_wan, tmp_path, velocity):
    shutil.copytree(copied_wan / "transformer", copied_wan / "transformer_2")
    index = json.loads((copied_wan / "model_index.json").read_text())
    index |= {"transformer_2": index["transformer"], "boundary_ratio": 0.9}
    (copied_wan / "model_index.json").write_text(json.dumps(index))
    pair = tmp_path / "pair"
    saved("high_noise", targets=["to_q"]).rename((pair.mkdir() or pair) / "high_noise.safetensors")
    saved("low_noise", targets=["to_k"]).rename(pair / "low_noise.safetensors")
    merge(str(copied_wan), pair, 1.0, tmp_path / "merged")
    pipeline = WanPipeline.from_pretrained(tmp_path / "merged")
    for part, target in (("transformer", "to_q"), ("transformer_2", "to_k")):
        expected = velocity(peft_wan(targets=[target]))
        torch.testing.assert_close(velocity(getattr(pipeline, part)), expected, rtol=1e-4, atol=1e-4)


def test_large_parts_that_stay_the_same_take_no_space_and_settings_are_copies(saved, copied_wan, tmp_path):
    merge(str(copied_wan), saved(), 1.0, tmp_path / "merged")
    for name, shared in (("vae/diffusion_pytorch_model.safetensors", True), ("vae/config.json", False)):
        original, merged = copied_wan / name, tmp_path / "merged" / name
        assert merged.read_bytes() == original.read_bytes()
        assert merged.samefile(original) is shared


def test_an_adapter_of_another_model_or_a_taken_place_is_refused_and_nothing_is_left(
    saved, tiny_wan, tiny_wan_i2v, tmp_path
):
    file = saved(folder=tiny_wan_i2v, targets=["add_k_proj", "to_k"])
    with pytest.raises(ModelError, match=r"was not made for this model \(2 of its 6 weights do not fit"):
        merge(str(tiny_wan), file, 1.0, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    with pytest.raises(StorageError, match="exists already"):
        merge(str(tiny_wan), file, 1.0, tmp_path)
