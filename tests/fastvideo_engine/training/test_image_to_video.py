"""Image to video from end to end: training on stored first frames, validation from pictures, and its adapter."""

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image
from safetensors.torch import load_file

from fastvideo_engine.components import vae_fingerprint
from fastvideo_engine.data.parquet import Provenance, Sample, write_samples
from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import ArtifactMade, Progress
from fastvideo_engine.media import probe, read_rgb_frames
from fastvideo_engine.sampling import generate
from fastvideo_engine.specs import GenerateSpec, Validation
from fastvideo_engine.training.loop import run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (192, 128), "red").save(path)
    return str(path)


@pytest.fixture
def image_spec(train_spec, tiny_wan_i2v, fastvideo_fixtures):
    def make(**changes):
        return train_spec(model=str(tiny_wan_i2v), parquet=str(fastvideo_fixtures / "i2v"), batch_size=2, **changes)

    return make


def _validation(**changes):
    return Validation(prompts=["a red ball", "waves"], every=4, sampling_steps=2, guidance_scale=2, **changes)


def test_an_image_to_video_model_is_trained_and_validated_from_pictures(image_spec, picture, run_folder, events_of):
    folder = run_folder()
    run(image_spec(steps=8, validation=_validation(images=[picture])), folder)
    losses = [event.metrics["loss"] for event in events_of(folder, Progress) if event.metrics]
    assert sum(losses[4:]) < sum(losses[:4])
    samples = [made for made in events_of(folder, ArtifactMade) if made.kind == "sample"]
    assert [(made.step, made.facts["image"]) for made in samples] == [(step, picture) for step in (0, 0, 4, 4, 8, 8)]
    assert probe(folder.path / samples[0].path).frames == 17


def test_stopping_and_going_on_gives_the_same_adapter_as_never_stopping(image_spec, run_folder):
    straight, resumed = run_folder("straight"), run_folder("resumed")
    run(image_spec(), straight)
    run(image_spec(steps=2), resumed)
    run(image_spec(), resumed)
    one, other = (load_file(folder.newest_checkpoint().adapter) for folder in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_diffusers_loads_the_adapter_into_its_own_pipeline(image_spec, tiny_wan_i2v, run_folder):
    folder = run_folder()
    run(image_spec(), folder)
    pipeline = WanImageToVideoPipeline.from_pretrained(tiny_wan_i2v)
    pipeline.load_lora_weights(folder.newest_checkpoint().adapter)
    layers = [name for name, _ in pipeline.transformer.named_parameters() if name.endswith("lora_B.default_0.weight")]
    assert sum(bool(pipeline.transformer.get_parameter(name).any()) for name in layers) == 2 * 8


@pytest.mark.parametrize("kind", ["train", "generate"])
def test_without_a_picture_sampling_is_refused_before_anything_is_loaded(image_spec, tiny_wan_i2v, run_folder, kind):
    start, spec = {
        "train": (run, image_spec(validation=_validation())),
        "generate": (generate.run, GenerateSpec(model=str(tiny_wan_i2v), prompts=["waves"])),
    }[kind]
    with pytest.raises(SpecError, match=r"Wan I2V makes videos from images; name an image for each prompt, or one for"):
        start(spec, run_folder())


@pytest.fixture
def clips_of_5b(tiny_ti2v_5b, tmp_path):
    """Clips of random latents such as the small 5B model has."""
    rng = np.random.default_rng(0)
    text = rng.standard_normal((3, 32), np.float32)
    samples = [
        Sample(
            id=str(number),
            file_name=f"{number}.mp4",
            caption="waves",
            vae_latent=rng.standard_normal((48, 3, 4, 6), np.float32),
            text_embedding=text,
            width=96,
            height=64,
            duration_seconds=1,
            source_fps=16,
        )
        for number in range(2)
    ]
    sizes = {"train_fps": 24, "height": 64, "width": 96, "frames": 9}
    made_with = Provenance(model="x", vae_fingerprint=vae_fingerprint(tiny_ti2v_5b), engine_version="", **sizes)
    write_samples(tmp_path / "parquet", samples, made_with)
    return str(tmp_path / "parquet")


def test_the_5b_model_is_trained_for_either_workload(
    train_spec, tiny_ti2v_5b, clips_of_5b, picture, run_folder, events_of
):
    losses, spec = {}, train_spec(model=str(tiny_ti2v_5b), parquet=clips_of_5b, batch_size=2)
    for workload in ("auto", "t2v", "i2v"):
        folder = run_folder(workload)
        images = [picture] if workload == "i2v" else []
        run(spec.model_copy(update={"workload": workload, "validation": _validation(images=images)}), folder)
        losses[workload] = [event.metrics["loss"] for event in events_of(folder, Progress) if event.metrics]
        samples = [made for made in events_of(folder, ArtifactMade) if made.kind == "sample"]
        assert [made.facts["fps"] for made in samples] == [24] * 4
        assert probe(folder.path / samples[0].path).frames == 9
    assert losses["auto"] == losses["t2v"] != losses["i2v"]


def test_generating_begins_each_video_with_its_own_picture(tiny_wan_i2v, picture, make_clip, tmp_path, run_folder):
    folder, clip = run_folder(), make_clip(tmp_path / "clip.mp4", size=(128, 128))
    small = {"height": 64, "width": 96, "frames": 9, "sampling_steps": 2}
    spec = GenerateSpec(model=str(tiny_wan_i2v), prompts=["a", "a"], images=[picture, str(clip)], **small)
    generate.run(spec, folder)
    first, second = (torch.tensor(read_rgb_frames(folder.sample(0, number), range(9))).float() for number in range(2))
    assert first.shape == (9, 64, 96, 3)
    assert (first - second).abs().mean() > 1
