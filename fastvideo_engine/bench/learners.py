"""What is measured side by side: the engine's own training, and a plain loop over diffusers and peft."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from torch import Tensor, nn

from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.attention.wan import set_sparsity
from fastvideo_engine.components import weights_dtype
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.specs.train import Lora, TrainSpec, Vsa
from fastvideo_engine.training.flow_matching import Batch, flow_matching_loss
from fastvideo_engine.training.optimizer import new_adamw
from fastvideo_engine.training.step import learn
from fastvideo_engine.training.trained import Trained, trained_weights
from fastvideo_engine.training.tuning import load_to_train


@dataclass(frozen=True)
class Learner:
    """A transformer in training: its loss on a batch, and a whole step on it."""

    transformer: WanTransformer3DModel
    adamw: torch.optim.Optimizer
    loss: Callable[[Batch], Tensor]
    step: Callable[[Batch], None]

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        named = self.transformer.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    def move(self, device: torch.device) -> None:
        """Take weights and the optimizer's state to a device, so that others have this one to themselves."""
        self.transformer.to(device)
        for state in self.adamw.state.values():
            # Not the count of steps: unless fused, AdamW keeps it on the CPU and would wait for a GPU to tell it.
            state.update({name: value.to(device) for name, value in state.items() if value.ndim})


def ours(model: Path, spec: TrainSpec, device: torch.device) -> Learner:
    """Train as the engine does; sparse attention, where asked for, is as sparse as it gets in the end."""
    ranks = Ranks(0, 1, device)
    transformer = load_to_train(model, "transformer", WAN, spec, ranks)
    if isinstance(spec.attention, Vsa):
        set_sparsity(transformer, spec.attention.sparsity)
    transformers = nn.ModuleDict({"transformer": transformer})
    trained = Trained(WAN, transformers, new_adamw(trained_weights(transformers).values(), spec.optimizer))

    def step(batch: Batch) -> None:
        assert learn(trained, [batch], spec.steps, spec, ranks).moved_the_weights, "a step that moves nothing is none"

    return Learner(transformer, trained.adamw, partial(flow_matching_loss, transformer), step)


def plain(model: Path, spec: TrainSpec, device: torch.device, padding_once: bool = False) -> Learner:
    """Train as the scripts that come with diffusers do, with autocast for whole models and checkpoints on a GPU.

    `padding_once` takes the engine's cross-attention over, to tell what it alone is worth.
    """
    lora = spec.tuning if isinstance(spec.tuning, Lora) else None
    computed_in = weights_dtype(device)
    held_in = computed_in if lora else torch.float32
    mixed = held_in != computed_in
    transformer = WanTransformer3DModel.from_pretrained(model / "transformer", torch_dtype=held_in).to(device).train()
    if lora:
        transformer.requires_grad_(False)
        targets = list(WAN.adapter_targets)
        transformer.add_adapter(LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets))
        cast_training_params(transformer, torch.float32)
    if device.type == "cuda":
        transformer.enable_gradient_checkpointing()
    if padding_once:
        attend_to_padding_once(transformer)
    weights = [weight for weight in transformer.parameters() if weight.requires_grad]
    adamw = torch.optim.AdamW(weights, lr=spec.optimizer.learning_rate, weight_decay=spec.optimizer.weight_decay)

    def loss(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return _plain_loss(transformer, batch)

    def step(batch: Batch) -> None:
        found = loss(batch)
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, spec.optimizer.max_gradient_norm)
        adamw.step()
        adamw.zero_grad()
        assert math.isfinite(found.item())

    return Learner(transformer, adamw, loss, step)


def _plain_loss(transformer: WanTransformer3DModel, batch: Batch) -> Tensor:
    sigma = batch.sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * batch.latents + sigma * batch.noise
    predicted = transformer(
        hidden_states=noisy.to(transformer.dtype),
        timestep=batch.sigma * 1000,
        encoder_hidden_states=batch.text.to(transformer.dtype),
        return_dict=False,
    )[0]
    return nn.functional.mse_loss(predicted.float(), batch.noise - batch.latents)
