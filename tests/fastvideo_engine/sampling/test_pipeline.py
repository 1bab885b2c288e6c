"""Sampling frames: what stock diffusers makes, again and again the same, until asked to stop."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image
from transformers import BatchFeature

from fastvideo_engine.components import load_scheduler, load_transformer
from fastvideo_engine.data.conditioning import prepared_for_clip
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.sampling.pipeline import Sampler, SamplingStopped, new_pipeline
from fastvideo_engine.sampling.shots import Look, encode_shots, one_shot_a_prompt

CPU = torch.device("cpu")
PROMPTS = ["a red ball", "waves"]
LOOK = Look(5, 3, 3.0, height=64, width=96, frames=9, fps=16)


@pytest.fixture
def sampler(tiny_wan):
    def make(guidance_scale=3.0, flow_shift=None) -> Sampler:
        pipeline = new_pipeline(tiny_wan, WAN, _transformers(tiny_wan), flow_shift, False, CPU)
        look = replace(LOOK, guidance_scale=guidance_scale)
        return Sampler(pipeline, encode_shots(one_shot_a_prompt(PROMPTS, [], look), "blurry", tiny_wan, WAN, CPU))

    return make


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "noise.png"
    Image.effect_noise((96, 64), 80).convert("RGB").save(path)
    return str(path)


def _transformers(model):
    return {part: load_transformer(model, CPU, part=part) for part in family_of_folder(model).transformers}


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


def test_frames_that_begin_with_an_image_are_those_that_stock_diffusers_makes(tiny_wan_i2v, picture, tmp_path):
    paths = [str(tmp_path / "red.png"), picture]
    Image.new("RGB", (96, 64), "red").save(paths[0])
    family = family_of_folder(tiny_wan_i2v)
    pipeline = new_pipeline(tiny_wan_i2v, family, _transformers(tiny_wan_i2v), None, True, CPU)
    shots = encode_shots(one_shot_a_prompt(PROMPTS, paths, LOOK), "blurry", tiny_wan_i2v, family, CPU)
    ours = Sampler(pipeline, shots)

    asked = {"height": 64, "width": 96, "num_frames": 9, "num_inference_steps": 3, "guidance_scale": 3.0}
    stock = WanImageToVideoPipeline.from_pretrained(tiny_wan_i2v)
    stock.image_processor = _resizing_in_torch(tiny_wan_i2v)
    for number, path in enumerate(paths):
        noise = torch.Generator().manual_seed(5)
        theirs = stock(Image.open(path), PROMPTS[number], "blurry", generator=noise, **asked).frames[0]
        assert np.abs(ours.frames(number, never) - theirs * 255).max() <= 0.51
    assert [ours.facts(number)["image"] for number in range(2)] == paths
    unseen = [replace(shot, image=replace(shot.image, seen=torch.zeros_like(shot.image.seen))) for shot in shots]
    assert np.abs(Sampler(pipeline, unseen).frames(1, never) - theirs * 255).max() > 1


@pytest.mark.parametrize("from_image", [False, True])
def test_frames_of_the_5b_model_are_those_that_stock_diffusers_makes(tiny_ti2v_5b, picture, from_image):
    family = family_of_folder(tiny_ti2v_5b)
    pipeline = new_pipeline(tiny_ti2v_5b, family, _transformers(tiny_ti2v_5b), None, from_image, CPU)
    wanted = one_shot_a_prompt(["waves"], [picture] if from_image else [], LOOK)
    ours = Sampler(pipeline, encode_shots(wanted, "blurry", tiny_ti2v_5b, family, CPU))

    asked = {"prompt": "waves", "negative_prompt": "blurry", "guidance_scale": 3.0, "num_inference_steps": 3}
    asked |= {"height": 64, "width": 96, "num_frames": 9, "generator": torch.Generator().manual_seed(5)}
    if from_image:
        theirs = WanImageToVideoPipeline.from_pretrained(tiny_ti2v_5b)(Image.open(picture), **asked)
    else:
        theirs = WanPipeline.from_pretrained(tiny_ti2v_5b)(**asked)
    assert np.abs(ours.frames(0, never) - theirs.frames[0] * 255).max() <= 0.51


@pytest.mark.parametrize("workload", ["t2v", "i2v"])
def test_frames_of_two_experts_are_those_that_stock_diffusers_makes(request, picture, workload):
    model = request.getfixturevalue(f"tiny_a14b_{workload}")
    family = family_of_folder(model)
    images = [picture] if workload == "i2v" else []
    # A shift at which the sampler goes from the one expert to the other on its way.
    look, shift = replace(LOOK, sampling_steps=4), 3.0
    shots = encode_shots(one_shot_a_prompt(["waves"], images, look), "blurry", model, family, CPU)
    transformers = _transformers(model)

    def frames_of(experts):
        return Sampler(new_pipeline(model, family, experts, shift, bool(images), CPU), shots).frames(0, never)

    asked = {"prompt": "waves", "negative_prompt": "blurry", "guidance_scale": 3.0, "num_inference_steps": 4}
    asked |= {"height": 64, "width": 96, "num_frames": 9, "generator": torch.Generator().manual_seed(5)}
    asked |= {"image": Image.open(picture)} if images else {}
    stock = (WanImageToVideoPipeline if images else WanPipeline).from_pretrained(model)
    stock.scheduler = load_scheduler(model, shift)
    theirs = stock(**asked).frames[0] * 255
    assert np.abs(frames_of(transformers) - theirs).max() <= 0.51
    for part, other in (("transformer", "transformer_2"), ("transformer_2", "transformer")):
        assert np.abs(frames_of({**transformers, part: transformers[other]}) - theirs).max() > 1


def _resizing_in_torch(model):
    """Prepare pictures for CLIP as transformers does where torchvision is installed; elsewhere it resizes with PIL."""
    preparation = json.loads((model / "image_processor" / "preprocessor_config.json").read_text())

    def prepare(images, return_tensors):
        picture = torch.from_numpy(np.array(images)).permute(2, 0, 1)
        return BatchFeature({"pixel_values": prepared_for_clip(picture, preparation)}, tensor_type=return_tensors)

    return prepare


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
