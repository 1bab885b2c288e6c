"""AdamW with a schedule of its learning rate and a bound on the gradient's norm."""

import importlib
import math
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.train import Optimizer

_OPTIMIZERS_OF_8_BITS = "torchao.optim"  # whose states can be sharded, unlike those of bitsandbytes


def new_adamw(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    """Make the optimizer; fused, since an adapter is hundreds of small matrices."""
    given: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    if settings.moments == "float32":
        return torch.optim.AdamW(parameters, **given, fused=True)
    adamw: torch.optim.Optimizer = importlib.import_module(_OPTIMIZERS_OF_8_BITS).AdamW8bit(parameters, **given)
    return adamw


def check_optimizer(settings: Optimizer) -> None:
    """Raise `SpecError` where a package that the optimizer takes is missing."""
    package, _, _ = _OPTIMIZERS_OF_8_BITS.partition(".")
    if settings.moments == "8bit" and find_spec(package) is None:
        raise SpecError(
            f"Moments of 8 bits take the package {package}, which is not installed; "
            f"install it with pip, or set optimizer.moments to float32."
        )


def learning_rate_at(step: int, settings: Optimizer, last_step: int) -> float:
    """Rise linearly over the warm-up steps, then follow the schedule; steps count from 1."""
    if step <= settings.warmup_steps:
        return settings.learning_rate * step / settings.warmup_steps
    # The first step after the warm-up has the whole rate, and the last one still learns.
    gone = (step - 1 - settings.warmup_steps) / max(1, last_step - settings.warmup_steps)
    left = {"constant": 1.0, "linear": 1 - gone, "cosine": (1 + math.cos(math.pi * gone)) / 2}[settings.schedule]
    return settings.learning_rate * (settings.final_fraction + (1 - settings.final_fraction) * left)


def take_step(adamw: torch.optim.Optimizer, learning_rate: float, max_gradient_norm: float, ranks: Ranks) -> float:
    """Move the weights along the gradients of all processes and return the gradient's norm before it was bounded.

    Where that is no number, nothing moves, in any process.
    """
    parameters = [parameter for group in adamw.param_groups for parameter in group["params"]]
    ranks.average_gradients(parameters)
    # After the averaging: every process must scale by the norm of the same gradient.
    norm = nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm  # of all shards
    if norm.isfinite():
        for group in adamw.param_groups:
            if isinstance(group["lr"], Tensor):  # torchao's: another tensor would be compiled for anew
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        adamw.step()
    adamw.zero_grad()
    return norm.item()
