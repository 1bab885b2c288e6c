"""The objective: predict the velocity from a clean latent to noise (Lipman et al., 2022, arXiv:2210.02747)."""

from dataclasses import dataclass

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from fastvideo_engine.seeds import generator_of

_TIMESTEPS = 1000


@dataclass(frozen=True)
class Batch:
    """What one step learns from: normalised latents BCTHW, padded text BLD, noise like the latents, sigma B."""

    latents: Tensor
    text: Tensor
    noise: Tensor
    sigma: Tensor


def sigma_table(shift: float) -> Tensor:
    """Return the 1000 noise levels that training draws from, pure noise first; a shift above 1 crowds them there."""
    sigma = torch.arange(_TIMESTEPS, 0, -1, dtype=torch.float32) / _TIMESTEPS
    return shift * sigma / (1 + (shift - 1) * sigma)


def drawn_noise(position: int, seed: int, latent_shape: tuple[int, ...], sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the noise and noise level of the run's sample number `position`, whatever process or batch it falls in."""
    generator = generator_of("noise", seed, position)
    sigma = sigmas[torch.randint(len(sigmas), (), generator=generator)]
    return torch.randn(latent_shape, generator=generator), sigma


def add_noise(latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Blend latents BCTHW toward noise; sigma B is 0 for clean and 1 for pure noise."""
    return torch.lerp(latents, noise, sigma.view(-1, 1, 1, 1, 1))


def flow_matching_loss(transformer: WanTransformer3DModel, batch: Batch) -> Tensor:
    """Return the mean squared error of the predicted velocity, in float32 but for the transformer itself."""
    dtype = transformer.dtype
    predicted = transformer(
        hidden_states=add_noise(batch.latents, batch.noise, batch.sigma).to(dtype),
        # float32: bfloat16 would round 999 to 1000 and 511 to 512.
        timestep=batch.sigma * _TIMESTEPS,
        encoder_hidden_states=batch.text.to(dtype),
        return_dict=False,
    )[0]
    return nn.functional.mse_loss(predicted.float(), batch.noise - batch.latents)
