"""Training a VAE: the forward pass is diffusers' own, a stopped training goes on, and the statistics are right."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from fastvideo_engine.specs.train_vae import VaeRecipe
from fastvideo_engine.training import vae as vae_training
from fastvideo_engine.training.muon import orthogonal
from fastvideo_engine.training.vae import decode, encode, held_out_clips, psnr, train

_RECIPE = VaeRecipe.model_validate(
    {
        "dim_mult": [1, 1, 1, 1],
        "clips": 4,
        "stages": [
            {"frames": 1, "steps": 3, "batch_size": 2, "learning_rate": 0.002},
            {"frames": 5, "steps": 2, "batch_size": 2, "learning_rate": 0.001},
        ],
    }
)


@pytest.mark.parametrize("frames", [1, 5, 17])
def test_encoding_and_decoding_are_those_of_diffusers_but_for_the_clamp(frames: int) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, num_res_blocks=1)
    clips = held_out_clips(1, frames)
    with torch.no_grad():
        latents = vae.encode(clips).latent_dist.mean
        torch.testing.assert_close(encode(vae, clips), latents)
        torch.testing.assert_close(decode(vae, latents).clamp(-1, 1), vae.decode(latents).sample)


def test_an_unclamped_pixel_has_a_gradient() -> None:
    torch.manual_seed(0)
    latents = (20 * torch.randn(1, 16, 2, 4, 4)).requires_grad_()
    frames = decode(AutoencoderKLWan(base_dim=8, num_res_blocks=1), latents)
    frames[frames.abs() > 1].sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0


def test_a_training_that_was_cut_off_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae_training, "_STEPS_BETWEEN_CHECKPOINTS", 2)
    monkeypatch.setattr(vae_training, "_HELD_OUT_CLIPS", 2)
    train(_RECIPE, tmp_path / "whole")
    steps = []

    def cut_off(*given: object) -> float:
        steps.append(given)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return take_step(*given)

    take_step = vae_training._take_step
    monkeypatch.setattr(vae_training, "_take_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train(_RECIPE, tmp_path / "cut")
    train(_RECIPE, tmp_path / "cut")
    whole, cut = (AutoencoderKLWan.from_pretrained(tmp_path / name / "vae") for name in ("whole", "cut"))
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_statistics_make_latents_of_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, num_res_blocks=1)
    stage = {"frames": 1, "steps": 1, "batch_size": 1, "learning_rate": 0.001}
    vae_training._keep_statistics(vae, VaeRecipe.model_validate({"clips": 64, "stages": [stage]}))
    latents = vae.encode(held_out_clips(64, 1)).latent_dist.mean
    mean, std = (torch.tensor(vae.config[f"latents_{name}"]).view(1, -1, 1, 1, 1) for name in ("mean", "std"))
    normalised = (latents - mean) / std
    assert normalised.mean(dim=(0, 2, 3, 4)).abs().max() < 0.2
    assert (normalised.std(dim=(0, 2, 3, 4)) - 1).abs().max() < 0.2


def test_psnr_is_that_of_the_textbook() -> None:
    clip = torch.zeros(2, 3, 1, 4, 4)
    off = clip + torch.tensor([0.02, 0.2]).view(2, 1, 1, 1, 1)  # 0.01 and 0.1 of the range
    torch.testing.assert_close(psnr(off, clip), torch.tensor([40.0, 20.0]))


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_muon_moves_along_a_matrix_of_nearly_equal_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3
