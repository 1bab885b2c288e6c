"""Which weights of a transformer are trained, in which precision, and what is computed in."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.components import load_transformer, weights_dtype
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Full, TrainSpec
from fastvideo_engine.training.activations import keep_only_attention
from fastvideo_engine.training.lora import add_adapter

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_to_train(
    model: Path, part: str, family: Family, spec: TrainSpec, device: torch.device
) -> WanTransformer3DModel:
    """Load a transformer ready to be trained: what moves is float32, what is frozen may be half as wide."""
    transformer = load_as_trained(model, part, spec, device)
    if isinstance(spec.tuning, Full):
        transformer.requires_grad_(True)
    else:
        add_adapter(transformer, family, spec.tuning, spec.seed)
    if device.type == "cuda":
        keep_only_attention(transformer)
    return transformer.train()


def load_as_trained(model: Path, part: str, spec: TrainSpec, device: torch.device) -> WanTransformer3DModel:
    """Load a transformer frozen, in the precision of those that are trained, so that they sample together."""
    computed_in = _DTYPES.get(spec.precision) or weights_dtype(device)
    full = isinstance(spec.tuning, Full)
    transformer = load_transformer(model, device, torch.float32 if full else computed_in, part)
    if full:
        _compute_in(transformer, computed_in)
    if device.type == "cpu":
        attend_to_padding_once(transformer)
    return transformer


def _compute_in(transformer: WanTransformer3DModel, dtype: torch.dtype) -> None:
    # Around the forward itself, so that training and sampling compute alike.
    if dtype != torch.float32:
        transformer.forward = torch.autocast(transformer.device.type, dtype)(transformer.forward)
