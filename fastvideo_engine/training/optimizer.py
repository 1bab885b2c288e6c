"""AdamW with a linear warm-up and a bound on the gradient's norm."""

from collections.abc import Sequence

import torch
from torch import nn

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.specs.train import Optimizer


def new_adamw(parameters: Sequence[nn.Parameter], settings: Optimizer) -> torch.optim.AdamW:
    """Make the optimizer; fused, since an adapter is hundreds of small matrices."""
    return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def learning_rate_at(step: int, settings: Optimizer) -> float:
    """Rise linearly over the warm-up steps, then stay; steps count from 1."""
    return settings.learning_rate * min(1.0, step / max(1, settings.warmup_steps))


def take_step(adamw: torch.optim.AdamW, step: int, settings: Optimizer, ranks: Ranks) -> float:
    """Move the weights along the gradients of all processes and return the gradient's norm before it was bounded."""
    parameters = [parameter for group in adamw.param_groups for parameter in group["params"]]
    ranks.average_gradients(parameters)
    # After the averaging: every process must scale by the norm of the same gradient.
    norm = nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
    for group in adamw.param_groups:
        group["lr"] = learning_rate_at(step, settings)
    adamw.step()
    adamw.zero_grad()
    return norm.item()
