"""Which weights of a transformer are trained, in which precision, and what is computed in."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.attention.stored import gates, gates_of_transformer, put_gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity, way_of
from fastvideo_engine.components import load_transformer, weights_dtype
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Dense, Full, TrainSpec
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
    _attend_as_asked(transformer, spec)
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
    stored = gates_of_transformer(model / part)
    if stored is not None:
        _add_sparse_attention(transformer, spec)
        put_gates(transformer, stored)
        if stored.sparsity is not None:
            set_sparsity(transformer, stored.sparsity)
    return transformer


def _attend_as_asked(transformer: WanTransformer3DModel, spec: TrainSpec) -> None:
    is_sparse = way_of(transformer) is not None
    if isinstance(spec.attention, Dense):
        if is_sparse:
            raise ModelError(f"{spec.model} was trained with sparse attention and needs it; set the attention to vsa.")
        return
    if not is_sparse:
        _add_sparse_attention(transformer, spec)
    for gate in gates(transformer).values():  # whole, with adapters too: the base has nothing there that they change
        gate.requires_grad_(True)


def _add_sparse_attention(transformer: WanTransformer3DModel, spec: TrainSpec) -> None:
    device = transformer.device
    dtype = _DTYPES.get(spec.precision) or weights_dtype(device)
    add_sparse_attention(transformer, fastest_way(device, dtype, transformer.config.attention_head_dim))


def _compute_in(transformer: WanTransformer3DModel, dtype: torch.dtype) -> None:
    # Around the forward itself, so that training and sampling compute alike.
    if dtype != torch.float32:
        transformer.forward = torch.autocast(transformer.device.type, dtype)(transformer.forward)
