"""Finding models and loading their parts: equal to FastVideo's, and damaged folders answer with a sentence."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file

from fastvideo_engine.components import (
    encode_captions,
    latent_mean_std,
    load_scheduler,
    load_text_encoder,
    load_transformer,
    load_vae,
    model_folder,
    padded,
    vae_fingerprint,
)
from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture
def damaged_wan(tiny_wan: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_wan, tmp_path / "wan"))


def test_captions_encode_to_what_fastvideo_wrote(tiny_wan, fastvideo_fixtures):
    clips = open_parquet(fastvideo_fixtures / "t2v")
    rows = [clips.read(number) for number in range(len(clips))]
    tokenizer, encoder = load_text_encoder(tiny_wan, CPU)
    ours = encode_captions([row.caption for row in rows], tokenizer, encoder, 512)
    for theirs, mine in zip(rows, ours, strict=True):
        torch.testing.assert_close(mine, theirs.text, rtol=0, atol=1e-5)


def test_a_caption_encodes_the_same_alone_as_among_longer_ones(tiny_wan):
    parts = load_text_encoder(tiny_wan, CPU)
    captions = [f"clip {'very ' * number}long" for number in range(20)]
    together = encode_captions(captions, *parts, 512)
    alone = encode_captions(captions[3:4], *parts, 512)
    torch.testing.assert_close(together[3], alone[0], rtol=0, atol=1e-5)


def test_the_text_encoder_really_has_the_files_embeddings(tiny_wan):
    _, encoder = load_text_encoder(tiny_wan, CPU)
    stored = load_file(tiny_wan / "text_encoder" / "model.safetensors")["shared.weight"]
    assert torch.equal(encoder.encoder.embed_tokens.weight, stored)


def test_an_empty_caption_is_one_token_and_a_long_one_is_cut(tiny_wan):
    empty, long = encode_captions(["", "word " * 900], *load_text_encoder(tiny_wan, CPU), 512)
    assert empty.shape == (1, 32)
    assert long.shape == (512, 32)


def test_padding_adds_zero_rows_or_cuts():
    text = torch.ones(3, 2)
    assert padded(text, 5).tolist() == [[1, 1], [1, 1], [1, 1], [0, 0], [0, 0]]
    assert padded(text, 2).shape == (2, 2)


def test_loaded_parts_are_frozen_float32_and_equal_to_diffusers(tiny_wan):
    vae = load_vae(tiny_wan, CPU)
    film = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    stock = AutoencoderKLWan.from_pretrained(tiny_wan / "vae")
    assert torch.equal(vae.encode(film).latent_dist.mean, stock.encode(film).latent_dist.mean)
    weights = [*vae.parameters(), *load_transformer(tiny_wan, CPU).parameters()]
    assert not any(weight.requires_grad or weight.dtype != torch.float32 for weight in weights)


def test_latent_statistics_go_with_bcthw(tiny_wan):
    mean, std = latent_mean_std(load_vae(tiny_wan, CPU).config)
    assert mean.shape == std.shape == (1, 16, 1, 1, 1)
    assert (mean[0, 0].item(), std[0, 0].item()) == pytest.approx((-0.7571, 2.8184))


def test_a_given_flow_shift_replaces_the_models(tiny_wan):
    assert load_scheduler(tiny_wan, None).config.flow_shift == 3.0
    assert load_scheduler(tiny_wan, 5.0).config.flow_shift == 5.0


def test_the_fingerprint_changes_with_weights_and_settings_but_not_with_the_folder(tiny_wan, damaged_wan):
    same = vae_fingerprint(damaged_wan)
    assert same == vae_fingerprint(tiny_wan)
    weights = damaged_wan / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    other_weights = vae_fingerprint(damaged_wan)
    config = damaged_wan / "vae" / "config.json"
    config.write_text(config.read_text().replace("-0.7571", "-0.75"))
    assert len({same, other_weights, vae_fingerprint(damaged_wan)}) == 3


@pytest.mark.parametrize(
    ("part", "load"), [("vae", load_vae), ("transformer", load_transformer), ("text_encoder", load_text_encoder)]
)
@pytest.mark.parametrize("damage", ["cut off", "gone", "without settings", "without one weight"])
def test_a_damaged_part_is_named(damaged_wan, part, load, damage):
    _harm(damaged_wan / part, damage)
    with pytest.raises(
        ModelError, match=rf"^The {part} of the model in .* cannot be read \(.*\); fetch the model again"
    ):
        load(damaged_wan, CPU)


@pytest.mark.parametrize("part", ["tokenizer", "scheduler"])
def test_a_missing_part_is_named(damaged_wan, part):
    shutil.rmtree(damaged_wan / part)
    with pytest.raises(ModelError, match=f"The {part} of the model .* is missing"):
        load_text_encoder(damaged_wan, CPU) if part == "tokenizer" else load_scheduler(damaged_wan, None)


def test_a_local_folder_is_taken_as_it_is_and_a_missing_one_refused(tiny_wan, tmp_path):
    assert model_folder(str(tiny_wan)) == tiny_wan
    with pytest.raises(ModelError, match="There is no model folder"):
        model_folder(str(tmp_path / "nothing"))


def test_what_cannot_be_a_hub_name_is_said_not_to_be_there():
    with pytest.raises(ModelError, match="There is no model two words on Hugging Face"):
        model_folder("two words")


def _harm(part: Path, damage: str) -> None:
    weights = next(part.glob("*.safetensors"))
    if damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif damage == "gone":
        weights.unlink()
    elif damage == "without settings":
        (part / "config.json").unlink()
    else:
        kept = load_file(weights)
        del kept[sorted(kept)[3]]
        save_file(kept, weights, metadata={"format": "pt"})
