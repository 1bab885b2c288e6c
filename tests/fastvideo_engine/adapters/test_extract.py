"""An extracted adapter holds what the finetuned model learnt: all of it at full rank, the most of it below."""

import shutil

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file

from fastvideo_engine.adapters.extract import low_rank
from fastvideo_engine.adapters.extract import run as extract
from fastvideo_engine.adapters.merge import run as merge
from fastvideo_engine.adapters.reading import read_adapter, read_metadata
from fastvideo_engine.errors import ModelError


@pytest.fixture
def finetuned(tiny_wan, tmp_path):
    """Write the small model with some or all of its parameters changed."""

    def make(change, **saving):
        folder = shutil.copytree(tiny_wan, tmp_path / "finetuned")
        transformer = WanTransformer3DModel.from_pretrained(folder / "transformer")
        with torch.no_grad():
            for name, parameter in transformer.named_parameters():
                change(name, parameter)
        shutil.rmtree(folder / "transformer")
        transformer.save_pretrained(folder / "transformer", **saving)
        return folder

    return make


def a_little(_name, parameter):
    parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))


def test_extracting_at_full_rank_and_merging_gives_the_finetuned_model_back(finetuned, tiny_wan, tmp_path, capsys):
    folder = finetuned(a_little, max_shard_size="60KB")
    extract(str(tiny_wan), str(folder), 48, tmp_path / "learnt.safetensors")
    merge(str(tiny_wan), tmp_path / "learnt.safetensors", 1.0, tmp_path / "merged")
    theirs, ours = (WanTransformer3DModel.from_pretrained(f / "transformer") for f in (folder, tmp_path / "merged"))
    for (name, wanted), got in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5, msg=name)
    assert "100.00% of their change kept, and" in capsys.readouterr().out
    assert read_metadata(tmp_path / "learnt.safetensors")["kept_energy"] == pytest.approx(1)


def test_a_change_of_low_rank_is_found_again_and_nothing_else(finetuned, tiny_wan, tmp_path):
    up, down = torch.randn(48, 3), torch.randn(3, 48)

    def change(name, parameter):
        if name == "blocks.1.attn2.to_v.weight":
            parameter += up @ down

    extract(str(tiny_wan), str(finetuned(change)), 3, tmp_path / "learnt.safetensors")
    adapter = read_adapter(tmp_path / "learnt.safetensors")
    assert adapter.layers.keys() == {"blocks.1.attn2.to_v"}
    assert adapter.differences == {}
    layer = adapter.layers["blocks.1.attn2.to_v"]
    torch.testing.assert_close(layer.up @ layer.down, up @ down, rtol=1e-4, atol=1e-4)


def test_the_kept_energy_is_that_of_the_largest_singular_values(finetuned, tiny_wan, tmp_path, capsys):
    folder = finetuned(a_little)
    extract(str(tiny_wan), str(folder), 5, tmp_path / "learnt.safetensors")
    before, after = (load_file(f / "transformer/diffusion_pytorch_model.safetensors") for f in (tiny_wan, folder))
    name = "blocks.0.ffn.net.0.proj"
    sizes = torch.linalg.svdvals((after[f"{name}.weight"] - before[f"{name}.weight"]).double()).square()
    assert f"{sizes[:5].sum() / sizes.sum():8.2%}  {name}\n" in capsys.readouterr().out


def test_the_quick_decomposition_of_a_large_matrix_keeps_as_much_as_the_full_one():
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn(400, 400, generator=generator))[0] for _ in range(2))
    sizes = 1 / torch.arange(1, 401) ** 0.5  # falls slowly, as in a full finetune
    change = left @ torch.diag(sizes) @ right
    layer, energy = low_rank(change, 16)
    best = (sizes[:16].square().sum() / sizes.square().sum()).item()
    left_over = (change - layer.up @ layer.down).square().sum() / change.square().sum()
    assert energy.share == pytest.approx(best, rel=1e-3)
    assert 1 - left_over == pytest.approx(best, rel=1e-3)
    assert torch.equal(low_rank(change, 16)[0].up, layer.up)


def test_equal_and_unlike_models_are_refused(tiny_wan, tiny_wan_i2v, tmp_path):
    with pytest.raises(ModelError, match="does not differ from"):
        extract(str(tiny_wan), str(tiny_wan), 4, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="are not of one build"):
        extract(str(tiny_wan), str(tiny_wan_i2v / "transformer"), 4, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []
