"""AdamW with a schedule of its learning rate and a bound on the gradient's norm."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.specs.train import Optimizer


def new_adamw(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.AdamW:
    """Make the optimizer; fused, since an adapter is hundreds of small matrices."""
    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def learning_rate_at(step: int, settings: Optimizer, last_step: int) -> float:
    """Rise linearly over the warm-up steps, then follow the schedule; steps count from 1."""
    if step <= settings.warmup_steps:
        return settings.learning_rate * step / settings.warmup_steps
    # The first step after the warm-up has the whole rate, and the last one still learns.
    gone = (step - 1 - settings.warmup_steps) / max(1, last_step - settings.warmup_steps)
    left = {"constant": 1.0, "linear": 1 - gone, "cosine": (1 + math.cos(math.pi * gone)) / 2}[settings.schedule]
    return settings.learning_rate * (settings.final_fraction + (1 - settings.final_fraction) * left)


def take_step(adamw: torch.optim.AdamW, learning_rate: float, max_gradient_norm: float, ranks: Ranks) -> float:
    """Move the weights along the gradients of all processes and return the gradient's norm before it was bounded.

    Where that is no number, nothing moves, in any process.
    """
    parameters = [parameter for group in adamw.param_groups for parameter in group["params"]]
    ranks.average_gradients(parameters)
    # After the averaging: every process must scale by the norm of the same gradient.
    norm = nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
    if norm.isfinite():
        for group in adamw.param_groups:
            group["lr"] = learning_rate
        adamw.step()
    adamw.zero_grad()
    return norm.item()
