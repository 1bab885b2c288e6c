"""The bundled models: stock diffusers loads them, they are small, and are put together from what was trained."""

import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel

from fastvideo_engine import assets
from fastvideo_engine.tiny_wan import build_image_start, finish

TINY_WAN = assets.MODELS / "tiny-wan"
TINY_WAN_IMAGE = assets.MODELS / "tiny-wan-i2v"


def test_stock_diffusers_loads_both():
    assert WanPipeline.from_pretrained(TINY_WAN).transformer.config.in_channels == 16
    image_to_video = WanImageToVideoPipeline.from_pretrained(TINY_WAN_IMAGE)
    assert image_to_video.transformer.config.in_channels == 36
    assert image_to_video.image_encoder.config.hidden_size == image_to_video.transformer.config.image_dim


def test_together_they_are_under_40_megabytes():
    files = [path for path in assets.MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6


def test_an_image_model_begins_with_the_weights_of_a_text_model(tmp_path):
    build_image_start(TINY_WAN, tmp_path / "start")
    text = WanTransformer3DModel.from_pretrained(TINY_WAN / "transformer")
    image = WanTransformer3DModel.from_pretrained(tmp_path / "start" / "transformer")
    theirs = dict(image.named_parameters())
    for name, weight in text.named_parameters():
        assert torch.equal(
            theirs[name][:, : weight.shape[1]] if name == "patch_embedding.weight" else theirs[name], weight
        )
    assert theirs["patch_embedding.weight"][:, 16:].abs().max() == 0


def test_a_model_is_finished_with_the_transformer_that_was_trained(tmp_path):
    trained = WanTransformer3DModel.from_pretrained(TINY_WAN / "transformer")
    with torch.no_grad():
        trained.proj_out.bias.fill_(0.5)
    trained.save_pretrained(tmp_path / "trained")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("A card.")
    finish(TINY_WAN, tmp_path / "trained", tmp_path / "model")
    finished = WanPipeline.from_pretrained(tmp_path / "model")
    assert torch.equal(finished.transformer.proj_out.bias, torch.full((64,), 0.5))
    assert finished.vae.config.latents_mean == WanPipeline.from_pretrained(TINY_WAN).vae.config.latents_mean
    assert (tmp_path / "model" / "README.md").read_text() == "A card."
