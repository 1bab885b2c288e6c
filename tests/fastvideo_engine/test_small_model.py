"""The small model: stock diffusers loads and samples it, it takes any text, and it is the same each time."""

import hashlib

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from transformers import AutoTokenizer

from fastvideo_engine.components import encode_captions, load_text_encoder, model_folder
from fastvideo_engine.small_model import build


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "new" / "small"
    build(folder)
    return folder


def test_stock_diffusers_samples_a_lively_video_from_it(small_model):
    pipeline = WanPipeline.from_pretrained(model_folder(str(small_model)))
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    video = pipeline("waves", height=64, width=96, num_frames=9, num_inference_steps=4, generator=noise).frames[0]
    assert video.shape == (9, 64, 96, 3)
    assert video.std() > 0.1
    assert np.abs(np.diff(video, axis=0)).mean() > 0.05


def test_it_has_the_geometry_and_sampler_of_wan(small_model):
    pipeline = WanPipeline.from_pretrained(small_model)
    vae, transformer, scheduler = pipeline.vae.config, pipeline.transformer.config, pipeline.scheduler
    assert (vae.z_dim, vae.scale_factor_temporal, vae.scale_factor_spatial) == (16, 4, 8)
    assert (transformer.in_channels, transformer.out_channels, transformer.patch_size) == (16, 16, [1, 2, 2])
    assert isinstance(scheduler, UniPCMultistepScheduler)
    assert scheduler.config.flow_shift == 3.0


def test_its_tokenizer_takes_any_text(small_model):
    tokenizer = AutoTokenizer.from_pretrained(small_model / "tokenizer")
    for text in ("A red ball, 50% off!", "naïve 日本 🎈", ""):
        numbers = tokenizer(text).input_ids
        assert numbers[-1] == tokenizer.eos_token_id == 1
        assert tokenizer.unk_token_id not in numbers
        assert tokenizer.decode(numbers, skip_special_tokens=True) == text


def test_its_text_encoder_tells_captions_apart(small_model):
    one, other = encode_captions(["a ball", "a wave"], *load_text_encoder(small_model, torch.device("cpu")), 512)
    assert (one.mean(0) - other.mean(0)).abs().max() > 0.01


def test_it_is_small_and_the_same_each_time(small_model, tmp_path):
    build(tmp_path / "again")
    files = sorted(path.relative_to(small_model) for path in small_model.rglob("*") if path.is_file())
    assert sum((small_model / file).stat().st_size for file in files) < 15e6
    for file in files:
        ours, again = ((folder / file).read_bytes() for folder in (small_model, tmp_path / "again"))
        assert hashlib.sha256(ours).digest() == hashlib.sha256(again).digest(), file
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
