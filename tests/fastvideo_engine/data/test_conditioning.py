"""What is stored of first frames is what FastVideo stores, and what diffusers' own pipeline would compute."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.conditioning import prepared_for_clip
from fastvideo_engine.data.frames import as_vae_input, cropped_and_resized, read_frames
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import MergedFolder, PreprocessSpec

_SMALL = {"height": 64, "width": 96, "frames": 17, "fps": 16}


def _diffusers_condition(model, first_frame, frames, expand_timesteps):
    """The normalised latent of the image as the pipeline of diffusers makes it."""
    pipeline = WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=AutoencoderKLWan.from_pretrained(model / "vae"),
        scheduler=UniPCMultistepScheduler(),
        expand_timesteps=expand_timesteps,
    )
    image = as_vae_input(first_frame[None])[:, :, 0]
    size = {"num_channels_latents": pipeline.vae.config.z_dim, "height": 64, "width": 96, "num_frames": frames}
    with torch.no_grad():
        return pipeline.prepare_latents(image, 1, **size, dtype=torch.float32)[1][0].numpy()


def _first_frame(clip):
    return cropped_and_resized(read_frames(clip, [0]), 64, 96)[0]


def test_the_parquet_equals_what_fastvideo_wrote(
    fastvideo_fixtures, merged_dataset, tiny_wan_i2v, run_folder, rows_in, tensor_in
):
    folder = run_folder()
    source = MergedFolder(path=str(merged_dataset))
    spec = PreprocessSpec(model=str(tiny_wan_i2v), source=source, workload="i2v", parity="fastvideo", **_SMALL)
    preprocess.run(spec, folder)

    theirs, ours = rows_in(fastvideo_fixtures / "i2v"), rows_in(folder.parquet)
    assert ours.keys() == theirs.keys()
    for name, row in theirs.items():
        for tensor in ("vae_latent", "text_embedding", "clip_feature", "first_frame_latent"):
            assert np.abs(tensor_in(ours[name], tensor) - tensor_in(row, tensor)).max() < 1e-5, (name, tensor)
            assert ours[name][f"{tensor}_shape"] == row[f"{tensor}_shape"]
        # FastVideo's trainer cannot read the bytes that its preprocessing puts there.
        assert [ours[name][f"pil_image_{part}"] for part in ("bytes", "shape", "dtype")] == [b"", [], ""]


def test_a_model_without_clip_gets_the_first_frames_latent_alone(
    tmp_path, make_clip, listed, tiny_a14b_i2v, run_folder, rows_in, tensor_in
):
    clip, folder = make_clip(tmp_path / "a.mp4"), run_folder()
    preprocess.run(listed((clip, "x"), model=tiny_a14b_i2v, workload="i2v"), folder)

    row = rows_in(folder.parquet)["a.mp4"]
    assert [row[f"clip_feature_{part}"] for part in ("bytes", "shape", "dtype")] == [b"", [], ""]
    theirs = _diffusers_condition(tiny_a14b_i2v, _first_frame(clip), 17, expand_timesteps=False)[4:]  # 4 are the mask
    assert tensor_in(row, "first_frame_latent").shape == theirs.shape == (16, 5, 8, 12)
    assert np.abs(tensor_in(row, "first_frame_latent") - theirs).max() < 1e-5


@pytest.mark.parametrize("workload", ["t2v", "i2v"])
def test_the_5b_model_finds_its_image_in_the_first_latent_frame(
    tmp_path, make_clip, listed, tiny_ti2v_5b, run_folder, rows_in, tensor_in, workload
):
    clip, folder = make_clip(tmp_path / "a.mp4"), run_folder()
    preprocess.run(listed((clip, "x"), model=tiny_ti2v_5b, workload=workload), folder)

    row = rows_in(folder.parquet)["a.mp4"]
    latent = tensor_in(row, "vae_latent")
    assert latent.shape == (48, 5, 4, 6)
    theirs = _diffusers_condition(tiny_ti2v_5b, _first_frame(clip), 17, expand_timesteps=True)
    assert np.abs((latent[:, :1] - 0.1) / 0.7 - theirs).max() < 1e-5
    assert row.get("first_frame_latent_bytes", b"") == row.get("clip_feature_bytes", b"") == b""


def test_a_text_to_video_model_is_refused_for_images(tmp_path, listed, run_folder):
    with pytest.raises(SpecError, match=r"does not take an image.*choose the workload t2v"):
        preprocess.run(listed((tmp_path / "a.mp4", "x"), workload="i2v"), run_folder())


def test_sizes_that_do_not_fit_the_5b_model_are_refused(tmp_path, listed, tiny_ti2v_5b, run_folder):
    with pytest.raises(SpecError, match="divisible by 32; 80 is not"):
        preprocess.run(listed((tmp_path / "a.mp4", "x"), model=tiny_ti2v_5b, height=80), run_folder())


@pytest.mark.parametrize(("height", "width"), [(224, 224), (96, 64), (480, 832), (30, 500)])
def test_pictures_of_any_shape_become_normalised_squares(height, width):
    preparation = {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": [0.5, 0.25, 0],
        "image_std": [0.5, 0.25, 1],
    }
    prepared = prepared_for_clip(torch.full((3, height, width), 255, dtype=torch.uint8), preparation)

    assert prepared.shape == (1, 3, 224, 224)
    assert torch.equal(prepared.mean((0, 2, 3)), torch.tensor([1.0, 3.0, 1.0]))
