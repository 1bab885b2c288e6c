"""The encoder gives the latents of diffusers' own `encode`, whatever the length, the VAE and the size of its pieces."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import AutoencoderKLWan

from fastvideo_engine.data.encoder import compiled_norm, encode_clip, normed_and_activated
from fastvideo_engine.seeds import generator_of


def _random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator_of("frames", 1)) * 2 - 1


def _trained(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    # New norms scale by one and new biases are nearly nothing; trained ones are not.
    for name, weights in vae.eval().requires_grad_(False).named_parameters():
        if name.endswith(("gamma", "bias")):
            weights.copy_(0.2 * _random(*weights.shape) + (1 if name.endswith("gamma") else 0))
    return vae


@torch.inference_mode()
def _stock(vae: AutoencoderKLWan, frames: torch.Tensor) -> torch.Tensor:
    return vae.encode(frames).latent_dist.mean


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return _trained(AutoencoderKLWan(base_dim=8, num_res_blocks=1))


@pytest.fixture(scope="module")
def vae_of_5b() -> AutoencoderKLWan:
    """The VAE of Wan 2.2's 5B with an eighth of its width: 48 channels, patches of 2, shortcuts that average."""
    torch.manual_seed(0)
    settings = {"z_dim": 48, "is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
    published = {"latents_mean": [0.0] * 48, "latents_std": [1.0] * 48, "scale_factor_spatial": 16}
    return _trained(AutoencoderKLWan(base_dim=20, decoder_base_dim=8, **settings, **published))


@pytest.mark.parametrize("frames", [1, 5, 9, 17, 33, 77])
def test_latents_are_diffusers_own_at_every_length(vae, frames):
    clip = _random(1, 3, frames, 32, 48)
    torch.testing.assert_close(encode_clip(vae, clip), _stock(vae, clip), rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, 17, 33])
def test_latents_of_the_5b_vae_are_diffusers_own_too(vae_of_5b, frames):
    clip = _random(1, 3, frames, 64, 96)
    torch.testing.assert_close(encode_clip(vae_of_5b, clip), _stock(vae_of_5b, clip), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tensor_bytes", [1, 100_000, 400_000])
def test_the_size_of_the_pieces_changes_nothing(vae, vae_of_5b, tensor_bytes):
    for each in (vae, vae_of_5b):
        clip = _random(1, 3, 29, 64, 96)
        torch.testing.assert_close(encode_clip(each, clip, tensor_bytes), _stock(each, clip), rtol=0, atol=1e-5)


def test_latents_of_the_full_width_are_diffusers_own():
    torch.manual_seed(0)
    vae = _trained(AutoencoderKLWan())
    clip = _random(1, 3, 5, 32, 32)
    torch.testing.assert_close(encode_clip(vae, clip), _stock(vae, clip), rtol=0, atol=1e-5)


def test_clips_of_a_batch_do_not_mix(vae):
    clips = _random(3, 3, 9, 32, 48)
    apart = torch.cat([_stock(vae, clip.unsqueeze(0)) for clip in clips])
    torch.testing.assert_close(encode_clip(vae, clips), apart, rtol=0, atol=1e-5)


def test_bytes_are_taken_for_pixels(vae):
    pixels = (_random(1, 3, 9, 32, 48) * 127 + 128).to(torch.uint8)
    torch.testing.assert_close(encode_clip(vae, pixels), _stock(vae, pixels / 255 * 2 - 1), rtol=0, atol=1e-5)


def test_black_frames_give_no_division_by_zero(vae):
    bare = AutoencoderKLWan(base_dim=8, num_res_blocks=1).eval()
    torch.nn.init.zeros_(bare.encoder.conv_in.weight)
    torch.nn.init.zeros_(bare.encoder.conv_in.bias)
    clip = torch.zeros(1, 3, 5, 32, 48)
    torch.testing.assert_close(encode_clip(bare, clip), _stock(bare, clip), rtol=0, atol=1e-5)


def test_half_precision_is_as_near_to_the_truth_as_diffusers_own(vae):
    clip = _random(1, 3, 9, 32, 48)
    truth = _stock(vae, clip)
    half = AutoencoderKLWan.from_config(vae.config).eval()
    half.load_state_dict(vae.state_dict())
    half = half.to(torch.bfloat16)
    stock_error = (_stock(half, clip.bfloat16()).float() - truth).abs().mean()
    latents = encode_clip(half, clip)
    assert latents.dtype == torch.bfloat16
    assert (latents.float() - truth).abs().mean() < 1.2 * stock_error


def test_latents_of_fastvideos_own_pixels_are_those_in_its_parquet(fastvideo_fixtures):
    vae = AutoencoderKLWan.from_pretrained(fastvideo_fixtures / "models" / "wan-t2v-tiny" / "vae").eval()
    rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet").to_pylist()
    assert len(rows) == 8
    for row in rows:
        [held] = (fastvideo_fixtures / "intermediate").glob(f"{row['file_name'].split('.mp4')[0]}*.npz")
        pixels = torch.from_numpy(np.load(held)["pixels_cthw_uint8"]).unsqueeze(0)
        theirs = np.frombuffer(row["vae_latent_bytes"], np.float32).reshape(row["vae_latent_shape"])
        np.testing.assert_allclose(encode_clip(vae, pixels)[0], theirs, rtol=0, atol=1e-5)


@pytest.mark.slow  # the compiler
def test_the_norm_compiled_for_gpus_is_the_plain_one():
    x, gamma = _random(1, 2, 6, 8, 16), 1 + _random(16)
    plain, compiled = torch.empty_like(x), torch.empty(1, 4, 6, 8, 16)
    normed_and_activated(x, gamma, plain)
    compiled_norm(x, gamma, compiled[:, 2:])
    torch.testing.assert_close(compiled[:, 2:], plain, rtol=1e-5, atol=1e-6)
    expected = torch.nn.functional.silu(torch.nn.functional.normalize(x.double(), dim=-1) * gamma)
    torch.testing.assert_close(plain, expected.float(), rtol=1e-5, atol=1e-6)
