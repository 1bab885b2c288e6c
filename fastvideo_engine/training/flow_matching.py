"""The objective: predict the velocity from a clean latent to noise (Lipman et al., 2022, arXiv:2210.02747)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from fastvideo_engine.families import Family
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.specs.train import Flow

_TIMESTEPS = 1000


@dataclass(frozen=True)
class Batch:
    """What one step learns from: normalised latents BCTHW, padded text BLD, noise like the latents, sigma B.

    For image to video also the channels BCTHW that go beside the noisy latents and what CLIP sees in the images BLD, or
    that the first latent frame is given, which then stays clean and costs nothing. `part` is the transformer that these
    noise levels belong to.
    """

    latents: Tensor
    text: Tensor
    noise: Tensor
    sigma: Tensor
    more_channels: Tensor | None = None
    seen: Tensor | None = None
    first_frame_is_given: bool = False
    part: str = "transformer"

    def to(self, device: torch.device) -> Self:
        """Move all tensors to a device."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def sigma_table(shift: float) -> Tensor:
    """Return the 1000 noise levels that training draws from, pure noise first; a shift above 1 crowds them there."""
    sigma = torch.arange(_TIMESTEPS, 0, -1, dtype=torch.float32) / _TIMESTEPS
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigmas_by_expert(sigmas: Tensor, family: Family) -> dict[str, Tensor]:
    """Share the noise levels out among a family's transformers, as diffusers does when it samples."""
    if family.expert_boundary is None:
        return {"transformer": sigmas}
    is_high = sigmas * _TIMESTEPS >= family.expert_boundary * _TIMESTEPS
    return {"transformer": sigmas[is_high], "transformer_2": sigmas[~is_high]}


def drawn_part(number: int, seed: int, sigmas: Mapping[str, Tensor], flow: Flow) -> str:
    """Draw the transformer that batch `number` is for, each as often as noise levels of its own would be drawn."""
    place = drawn_place(flow, generator_of("expert", seed, number)) * sum(len(levels) for levels in sigmas.values())
    for part, levels in sigmas.items():
        if place < len(levels):
            return part
        place -= len(levels)
    return part


def drawn_noise(
    position: int, seed: int, latent_shape: tuple[int, ...], sigmas: Tensor, flow: Flow
) -> tuple[Tensor, Tensor]:
    """Draw the noise and noise level of the run's sample number `position`, whatever process or batch it falls in."""
    generator = generator_of("noise", seed, position)
    place = int(drawn_place(flow, generator) * len(sigmas))
    return torch.randn(latent_shape, generator=generator), sigmas[min(place, len(sigmas) - 1)]


def drawn_place(flow: Flow, generator: torch.Generator) -> float:
    """Draw a place in the table of noise levels, 0 is pure noise and 1 clean, as Esser et al. (2024) do."""
    if flow.timestep_sampling == "logit_normal":
        normal = torch.randn((), generator=generator)
        return torch.sigmoid(flow.logit_mean + flow.logit_std * normal).item()
    place = torch.rand((), generator=generator).item()
    if flow.timestep_sampling == "mode":
        return 1 - place - flow.mode_scale * (math.cos(math.pi * place / 2) ** 2 - 1 + place)
    return place


def caption_is_dropped(position: int, seed: int, share: float) -> bool:
    """Tell whether the run's sample number `position` is learnt without its caption: another draw at each visit."""
    return torch.rand((), generator=generator_of("caption", seed, position)).item() < share


def add_noise(latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Blend latents BCTHW toward noise; sigma B is 0 for clean and 1 for pure noise."""
    return torch.lerp(latents, noise, sigma.view(-1, 1, 1, 1, 1))


def first_frame_channels(latents: Tensor, frame_stride: int) -> Tensor:
    """Put before a first frame's normalised latents BCTHW the mask that says which pixel frames it gives.

    The mask has a channel for each of the pixel frames that a latent frame stands for: 1 in the first latent frame.
    """
    mask = torch.zeros_like(latents[:, :1]).repeat(1, frame_stride, 1, 1, 1)
    mask[:, :, 0] = 1
    return torch.cat([mask, latents], dim=1)


def token_timesteps(timestep: Tensor, latent_shape: torch.Size, patch_size: Sequence[int]) -> Tensor:
    """Give each token of latents BCTHW its sample's timestep B, and 0 to those of the first frame, as BL."""
    frames, *sizes = (side // patch for side, patch in zip(latent_shape[2:], patch_size, strict=True))
    tokens_a_frame = math.prod(sizes)
    each = timestep[:, None].repeat(1, frames * tokens_a_frame)
    each[:, :tokens_a_frame] = 0
    return each


def flow_matching_loss(transformer: WanTransformer3DModel, batch: Batch) -> Tensor:
    """Return the mean squared error of the predicted velocity, in float32 but for the transformer itself."""
    dtype = transformer.dtype
    noisy = add_noise(batch.latents, batch.noise, batch.sigma)
    # float32: bfloat16 would round 999 to 1000 and 511 to 512.
    timestep = batch.sigma * _TIMESTEPS
    given = 1 if batch.first_frame_is_given else 0
    if given:
        noisy = torch.cat([batch.latents[:, :, :given], noisy[:, :, given:]], dim=2)
        timestep = token_timesteps(timestep, noisy.shape, transformer.config.patch_size)
    channels = noisy if batch.more_channels is None else torch.cat([noisy, batch.more_channels], dim=1)
    predicted = transformer(
        hidden_states=channels.to(dtype),
        timestep=timestep,
        encoder_hidden_states=batch.text.to(dtype),
        encoder_hidden_states_image=None if batch.seen is None else batch.seen.to(dtype),
        return_dict=False,
    )[0]
    velocity = batch.noise - batch.latents
    return nn.functional.mse_loss(predicted[:, :, given:].float(), velocity[:, :, given:])
