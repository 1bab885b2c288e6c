"""Train a small VAE of Wan's architecture on clips of the small world, stage by stage, from its last checkpoint on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from pydantic import ValidationError
from torch import Tensor, nn

from fastvideo_engine.errors import SpecError
from fastvideo_engine.run_folder import forget_folder
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.specs.base import in_words, read_settings
from fastvideo_engine.specs.train_vae import VaeRecipe, VaeStage
from fastvideo_engine.training.muon import Muon
from fastvideo_engine.world.drawing import draw, draw_moment
from fastvideo_engine.world.scenes import any_scene

_MUON_TIMES = 10  # the learning rate of the kernels, in AdamW's
_WARMUP_STEPS = 100
_FINAL_SHARE = 0.02  # of the learning rate, when a stage is over
_ABSOLUTE_ERROR, _SQUARED_ERROR = 0.2, 2.0
_STEPS_BETWEEN_CHECKPOINTS = 100
_HELD_OUT_SEED = 0
_HELD_OUT_CLIPS = 32
_CLIPS_FOR_STATISTICS = 256
_TOLD_EVERY = 50


@dataclass(frozen=True)
class _Training:
    vae: AutoencoderKLWan
    muon: Muon
    adamw: torch.optim.AdamW


def run(recipe: Path, out: Path) -> None:
    """Train as a recipe file says."""
    # Numbers too small for the usual format would make a CPU many times slower.
    torch.set_flush_denormal(True)
    try:
        asked = VaeRecipe.model_validate(read_settings(recipe))
    except ValidationError as error:
        raise SpecError(f"{recipe} does not hold: {in_words(error)}.") from None
    train(asked, out)


def train(recipe: VaeRecipe, folder: Path) -> None:
    """Train to the end of the recipe and write `vae/` into the folder, in float16; a started training goes on."""
    training = _new_training(recipe)
    stage, step = _resume(training, folder)
    for number in range(stage, len(recipe.stages)):
        _train_stage(training, recipe, number, step if number == stage else 0, folder)
    _keep_statistics(training.vae, recipe)
    beside = folder / ".vae.part"
    training.vae.to(torch.float16).save_pretrained(beside)
    forget_folder(folder / "vae")
    beside.replace(folder / "vae")


def reconstruct(vae: AutoencoderKLWan, frames: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Encode frames BCTHW, add noise to the latents, and decode; return the new frames, and the latents BCTHW.

    Unlike `AutoencoderKLWan.decode` this does not clamp what comes out, since a clamped pixel has no gradient; all
    frames but the first go at once, which gives the same numbers as four at a time.
    """
    latents = encode(vae, frames)
    return decode(vae, latents if noise is None else latents + noise), latents


def encode(vae: AutoencoderKLWan, frames: Tensor) -> Tensor:
    """Return the means of the latents BCTHW of frames BCTHW between -1 and 1, with gradients."""
    cache: list[Any] = [None] * vae._cached_conv_counts["encoder"]
    parts = [vae.encoder(part, feat_cache=cache, feat_idx=[0]) for part in _first_and_rest(frames)]
    mean: Tensor = vae.quant_conv(torch.cat(parts, dim=2)).chunk(2, dim=1)[0]
    return mean


def decode(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Return frames BCTHW of latents BCTHW, with gradients and unclamped."""
    cache: list[Any] = [None] * vae._cached_conv_counts["decoder"]
    first, *rest = _first_and_rest(vae.post_quant_conv(latents))
    parts = [vae.decoder(first, feat_cache=cache, feat_idx=[0], first_chunk=True)]
    parts += [vae.decoder(part, feat_cache=cache, feat_idx=[0]) for part in rest]
    return torch.cat(parts, dim=2)


def held_out_clips(count: int, frames: int) -> Tensor:
    """Draw clips BCTHW between -1 and 1 that no training sees, every motion and effect among them."""
    return _as_tensor(_clips(count, frames, _HELD_OUT_SEED))


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of each clip BCTHW, both between -1 and 1."""
    error = ((one.float().clamp(-1, 1) - other) / 2).square().mean(dim=(1, 2, 3, 4))
    return -10 * error.log10()


def _first_and_rest(video: Tensor) -> list[Tensor]:
    # The first frame has a latent of its own.
    return [video[:, :, :1], video[:, :, 1:]] if video.shape[2] > 1 else [video]


def _new_training(recipe: VaeRecipe) -> _Training:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        vae = AutoencoderKLWan(base_dim=recipe.base_dim, dim_mult=recipe.dim_mult, num_res_blocks=recipe.num_res_blocks)
    for weight in vae.parameters():
        if weight.dim() == 5:
            weight.data = weight.data.to(memory_format=torch.channels_last_3d)
    kernels = [weight for name, weight in vae.named_parameters() if weight.dim() >= 4 and _is_inner(name)]
    inner = {id(weight) for weight in kernels}
    others = [weight for weight in vae.parameters() if id(weight) not in inner]
    return _Training(vae, Muon(kernels, lr=0.0), torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0))


def _is_inner(name: str) -> bool:
    return "conv_in" not in name and "conv_out" not in name and "quant" not in name


def _train_stage(training: _Training, recipe: VaeRecipe, number: int, done: int, folder: Path) -> None:
    stage = recipe.stages[number]
    clips = _clips(recipe.clips, stage.frames, recipe.seed + 1 + number)
    held_out = held_out_clips(_HELD_OUT_CLIPS, stage.frames)
    for step in range(done + 1, stage.steps + 1):
        _set_rate(training, stage, step)
        generator = generator_of("vae", recipe.seed, number, step)
        chosen = torch.randint(len(clips), (stage.batch_size,), generator=generator).numpy()
        loss = _take_step(training, recipe, _as_tensor(clips[chosen]), generator)
        if step % _TOLD_EVERY == 0:
            print(f"{stage.frames} frames, step {step} of {stage.steps}: loss {loss:.4f}", flush=True)
        if step % _STEPS_BETWEEN_CHECKPOINTS == 0 or step == stage.steps:
            _save(training, number, step, folder)
            print(f"{_quality(training.vae, held_out):.2f} dB on held-out clips", flush=True)


def _take_step(training: _Training, recipe: VaeRecipe, frames: Tensor, generator: torch.Generator) -> float:
    vae = training.vae
    size = (len(frames), vae.config.z_dim, (frames.shape[2] + 3) // 4, frames.shape[3] // 8, frames.shape[4] // 8)
    noise = recipe.latent_noise * torch.randn(size, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        again, latents = reconstruct(vae, frames, noise)
    error = again.float() - frames
    loss = _SQUARED_ERROR * error.square().mean() + _ABSOLUTE_ERROR * error.abs().mean()
    penalty = recipe.latent_penalty * latents.float().square().mean()
    (loss + penalty).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    for optimizer in (training.muon, training.adamw):
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def _set_rate(training: _Training, stage: VaeStage, step: int) -> None:
    rising = min(1.0, step / _WARMUP_STEPS)
    falling = _FINAL_SHARE + (1 - _FINAL_SHARE) * (0.5 + 0.5 * math.cos(math.pi * step / stage.steps))
    for optimizer, times in ((training.muon, _MUON_TIMES), (training.adamw, 1)):
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * times * rising * falling


@torch.no_grad()
def _quality(vae: AutoencoderKLWan, frames: Tensor) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        again, _ = reconstruct(vae, frames)
    return psnr(again, frames).mean().item()


@torch.no_grad()
def _keep_statistics(vae: AutoencoderKLWan, recipe: VaeRecipe) -> None:
    """Note the latents' mean and deviation in the config, and give a sampled latent the noise trained with."""
    clips = _clips(min(recipe.clips, _CLIPS_FOR_STATISTICS), recipe.stages[-1].frames, recipe.seed)
    parts = [encode(vae, part) for part in torch.split(_as_tensor(clips), 16)]
    latents = torch.cat(parts)
    vae.register_to_config(
        latents_mean=latents.mean(dim=(0, 2, 3, 4)).tolist(), latents_std=latents.std(dim=(0, 2, 3, 4)).tolist()
    )
    channels = vae.config.z_dim
    vae.quant_conv.weight[channels:] = 0
    vae.quant_conv.bias[channels:] = 2 * math.log(max(recipe.latent_noise, 1e-4))


def _clips(count: int, frames: int, seed: int) -> np.ndarray:
    """Draw clips BTHWC uint8; those of one frame show any moment of a clip."""
    random = np.random.default_rng(seed)
    scenes = [any_scene(random) for _ in range(count)]
    if frames > 1:
        return np.stack([draw(scene, frames) for scene in scenes])
    return np.stack([draw_moment(scene, random.uniform())[None] for scene in scenes])


def _as_tensor(clips: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last_3d)


def _save(training: _Training, stage: int, step: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "stage": stage,
        "step": step,
        "vae": training.vae.state_dict(),
        "muon": training.muon.state_dict(),
        "adamw": training.adamw.state_dict(),
    }
    beside = folder / ".state.pt.part"
    torch.save(state, beside)
    beside.replace(folder / "state.pt")


def _resume(training: _Training, folder: Path) -> tuple[int, int]:
    """Put the last checkpoint back; return the stage and how many of its steps are done."""
    if not (folder / "state.pt").exists():
        return 0, 0
    state = torch.load(folder / "state.pt", weights_only=True)
    training.vae.load_state_dict(state["vae"])
    training.muon.load_state_dict(state["muon"])
    training.adamw.load_state_dict(state["adamw"])
    return state["stage"], state["step"]
