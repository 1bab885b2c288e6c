"""Sampling frames: what stock diffusers makes, again and again the same, until asked to stop."""

import json

import av
import numpy as np
import pytest
import torch
from diffusers import WanPipeline

from fastvideo_engine.components import load_transformer
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.sampling.pipeline import Look, Sampler, SamplingStopped, encode_prompts, new_pipeline

CPU = torch.device("cpu")
PROMPTS = ["a red ball", "waves"]


@pytest.fixture
def sampler(tiny_wan):
    def make(guidance_scale=3.0, flow_shift=None) -> Sampler:
        pipeline = new_pipeline(tiny_wan, load_transformer(tiny_wan, CPU), flow_shift)
        prompts = encode_prompts(PROMPTS, "blurry", tiny_wan, FAMILIES[0], CPU)
        return Sampler(pipeline, prompts, Look(5, 3, guidance_scale, height=64, width=96, frames=9, fps=16))

    return make


def never() -> bool:
    return False


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_frames_are_those_that_stock_diffusers_makes(sampler, tiny_wan, guidance_scale):
    size = {"height": 64, "width": 96, "num_frames": 9, "num_inference_steps": 3}
    noise = torch.Generator().manual_seed(5)
    stock = WanPipeline.from_pretrained(tiny_wan)
    theirs = stock("waves", "blurry", guidance_scale=guidance_scale, generator=noise, **size).frames[0]
    ours = sampler(guidance_scale).frames(1, never)
    assert (ours.shape, ours.dtype) == ((9, 64, 96, 3), np.uint8)
    assert np.abs(ours - theirs * 255).max() <= 0.51


def test_the_same_prompt_gives_the_same_frames_whatever_was_sampled_before(sampler):
    first = sampler()
    alone = first.frames(1, never)
    first.frames(0, never)
    assert np.array_equal(first.frames(1, never), alone)


def test_the_flow_shift_of_the_sampler_can_be_changed(sampler):
    assert not np.array_equal(sampler(flow_shift=12.0).frames(0, never), sampler().frames(0, never))


def test_a_stop_is_seen_within_one_denoising_step(sampler, tmp_path):
    asked = iter([False, True])
    with pytest.raises(SamplingStopped):
        sampler().write(0, tmp_path / "video.mp4", lambda: next(asked))
    assert list(tmp_path.iterdir()) == []


def test_a_written_video_says_how_it_was_made(sampler, tmp_path):
    sampler().write(1, tmp_path / "video.mp4", never)
    with av.open(tmp_path / "video.mp4") as video:
        assert json.loads(video.metadata["comment"]) == sampler().facts(1)
        assert video.metadata["title"] == "waves"
