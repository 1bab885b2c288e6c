"""Which weights of a transformer are trained, in which precision, and what is computed in."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.adapters.adapter import Adapter
from fastvideo_engine.adapters.applied import start_from
from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.attention.stored import gates, gates_of_transformer, put_gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity, way_of
from fastvideo_engine.components import load_transformer, unloaded_transformer, weights_dtype
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Dense, Full, TrainSpec
from fastvideo_engine.training.activations import compute_again
from fastvideo_engine.training.compiled import compile_blocks
from fastvideo_engine.training.lora import add_adapter
from fastvideo_engine.training.sequence_parallel import share_tokens
from fastvideo_engine.training.sharding import spread

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_to_train(
    model: Path, part: str, family: Family, spec: TrainSpec, ranks: Ranks, start: Adapter | None = None
) -> WanTransformer3DModel:
    """Load a transformer ready to be trained: what moves is float32, what is frozen may be half as wide."""
    transformer = _as_trained(model, part, spec, ranks)
    if isinstance(spec.tuning, Full):
        transformer.requires_grad_(True)
    else:
        add_adapter(transformer, family, spec.tuning, spec.seed)
    _attend_as_asked(transformer, spec, ranks.device)
    if start is not None:
        start_from(transformer, start)
    kept = spec.scale.activation_checkpointing
    if kept == "auto":
        kept = "selective" if ranks.device.type == "cuda" else "none"
    if kept != "none":
        compute_again(transformer, kept)
    return _placed(transformer, spec, ranks).train()


def load_frozen(model: Path, part: str, spec: TrainSpec, ranks: Ranks) -> WanTransformer3DModel:
    """Load a transformer that is not trained, in the precision of those that are, so that they sample together."""
    return _placed(_as_trained(model, part, spec, ranks), spec, ranks)


def computed_in(spec: TrainSpec, device: torch.device) -> torch.dtype:
    """Return the dtype that a spec asks to compute in."""
    return _DTYPES.get(spec.precision) or weights_dtype(device)


def _as_trained(model: Path, part: str, spec: TrainSpec, ranks: Ranks) -> WanTransformer3DModel:
    """Load a transformer in the first process, and its shape in all others."""
    device, dtype = ranks.device, computed_in(spec, ranks.device)
    full = isinstance(spec.tuning, Full)
    if ranks.is_first:
        transformer = load_transformer(model, torch.device("cpu"), torch.float32 if full else dtype, part)
    else:
        transformer = unloaded_transformer(model, part)
    if full and dtype != torch.float32:
        # Around the forward itself, so that training and sampling compute alike.
        transformer.forward = torch.autocast(device.type, dtype)(transformer.forward)
    if device.type == "cpu":
        attend_to_padding_once(transformer)
    stored = gates_of_transformer(model / part)
    if stored is not None:
        _add_sparse_attention(transformer, spec, device)
        put_gates(transformer, stored)
        if stored.sparsity is not None:
            set_sparsity(transformer, stored.sparsity)
    return transformer


def _placed(transformer: WanTransformer3DModel, spec: TrainSpec, ranks: Ranks) -> WanTransformer3DModel:
    """Put a transformer where it computes, compiled and with others as the spec asks."""
    if ranks.sharing > 1:
        share_tokens(transformer, ranks)
    if spec.scale.compile:
        compile_blocks(transformer)
    narrow = computed_in(spec, ranks.device) if isinstance(spec.tuning, Full) else None
    spread(transformer, spec.scale, narrow, ranks)
    return transformer


def _attend_as_asked(transformer: WanTransformer3DModel, spec: TrainSpec, device: torch.device) -> None:
    is_sparse = way_of(transformer) is not None
    if isinstance(spec.attention, Dense):
        if is_sparse:
            raise ModelError(f"{spec.model} was trained with sparse attention and needs it; set the attention to vsa.")
        return
    if not is_sparse:
        _add_sparse_attention(transformer, spec, device)
    for gate in gates(transformer).values():  # whole, with adapters too: the base has nothing there that they change
        gate.requires_grad_(True)


def _add_sparse_attention(transformer: WanTransformer3DModel, spec: TrainSpec, device: torch.device) -> None:
    way = fastest_way(device, computed_in(spec, device), transformer.config.attention_head_dim)
    add_sparse_attention(transformer, way)
