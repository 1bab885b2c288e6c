"""Loss and gradients of each architecture against a float64 formula around diffusers' own transformer and pipelines."""

from copy import deepcopy

import pytest
import torch
from diffusers import WanImageToVideoPipeline

from fastvideo_engine.components import load_transformer
from fastvideo_engine.training.flow_matching import Batch, first_frame_channels, flow_matching_loss

TEXT, SIGMA = torch.randn(2, 512, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([0.9, 0.25])


@pytest.fixture
def transformers_of():
    """Load a transformer to train, and a copy in float64 to compare with."""

    def load(model, part="transformer"):
        transformer = load_transformer(model, torch.device("cpu"), part=part).requires_grad_(True)
        return transformer, deepcopy(transformer).double()

    return load


def _latents_and_noise(channels):
    return torch.randn(2, 2, channels, 3, 8, 12, generator=torch.Generator().manual_seed(2)).unbind(0)


def _noisy(latents, noise):
    weight = SIGMA.double().view(-1, 1, 1, 1, 1)
    return (1 - weight) * latents.double() + weight * noise.double()


def _assert_same(transformer, batch, reference, predicted, frames=slice(None)):
    """Compare loss and gradients with those of a velocity that diffusers' transformer predicted in float64."""
    loss = flow_matching_loss(transformer, batch)
    loss.backward()
    velocity = batch.noise.double() - batch.latents.double()
    wanted = ((predicted - velocity) ** 2)[:, :, frames].mean()
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for ours, theirs in zip(transformer.parameters(), reference.parameters(), strict=True):
        assert (ours.grad - theirs.grad).norm() <= 1e-5 * theirs.grad.norm()


@pytest.mark.parametrize(
    ("model", "part"),
    [("tiny_wan", "transformer"), ("tiny_a14b_t2v", "transformer"), ("tiny_a14b_t2v", "transformer_2")],
)
def test_text_to_video(request, transformers_of, model, part):
    transformer, reference = transformers_of(request.getfixturevalue(model), part)
    latents, noise = _latents_and_noise(16)
    predicted = reference(_noisy(latents, noise), SIGMA.double() * 1000, TEXT.double(), return_dict=False)[0]
    _assert_same(transformer, Batch(latents, TEXT, noise, SIGMA), reference, predicted)


@pytest.mark.parametrize(
    ("model", "part"),
    [("tiny_wan_i2v", "transformer"), ("tiny_a14b_i2v", "transformer"), ("tiny_a14b_i2v", "transformer_2")],
)
def test_image_to_video_with_channels_of_the_first_frame(request, transformers_of, model, part):
    model = request.getfixturevalue(model)
    transformer, reference = transformers_of(model, part)
    latents, noise = _latents_and_noise(16)
    seen = torch.randn(2, 257, 32) if (model / "image_encoder").is_dir() else None
    condition = _condition_of_diffusers(model)
    channels = first_frame_channels(condition[:, 4:], frame_stride=4)
    assert torch.equal(channels, condition)

    predicted = reference(
        torch.cat([_noisy(latents, noise), condition.double()], dim=1),
        SIGMA.double() * 1000,
        TEXT.double(),
        None if seen is None else seen.double(),
        return_dict=False,
    )[0]
    _assert_same(transformer, Batch(latents, TEXT, noise, SIGMA, channels, seen), reference, predicted)


def _condition_of_diffusers(model):
    """Return what diffusers' pipeline puts beside the noisy latents: a mask of 4 channels and the image's latent."""
    pipeline = WanImageToVideoPipeline.from_pretrained(model)
    images = torch.rand(2, 1, 3, 64, 96, generator=torch.Generator().manual_seed(3)) * 2 - 1
    size = {"height": 64, "width": 96, "num_frames": 9, "dtype": torch.float32}
    with torch.no_grad():
        return torch.cat([pipeline.prepare_latents(image, 1, **size)[1] for image in images])


@pytest.mark.parametrize("first_frame_is_given", [False, True])
def test_the_5b_model_with_a_timestep_for_each_token(tiny_ti2v_5b, transformers_of, first_frame_is_given):
    transformer, reference = transformers_of(tiny_ti2v_5b)
    latents, noise = _latents_and_noise(48)
    # As in diffusers' pipelines: a mask of zeros where the first frame is given blends latents and scales timesteps.
    mask = torch.ones(1, 1, 3, 8, 12, dtype=torch.float64)
    mask[:, :, : int(first_frame_is_given)] = 0
    given = (1 - mask) * latents.double() + mask * _noisy(latents, noise)
    timesteps = torch.stack([(mask[0][0][:, ::2, ::2] * sigma * 1000).flatten() for sigma in SIGMA.double()])

    predicted = reference(given, timesteps, TEXT.double(), return_dict=False)[0]
    batch = Batch(latents, TEXT, noise, SIGMA, first_frame_is_given=first_frame_is_given)
    _assert_same(transformer, batch, reference, predicted, slice(int(first_frame_is_given), None))
