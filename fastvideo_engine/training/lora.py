"""Low-rank adapters to train on a frozen transformer, and their file."""

from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig
from torch import nn

from fastvideo_engine.adapters.applied import NAME, adapted_layers, adapter_of, keep_adapters_in_float32
from fastvideo_engine.adapters.writing import widest_format, write_adapter
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Lora


def add_adapter(transformer: WanTransformer3DModel, family: Family, lora: Lora, seed: int) -> list[nn.Parameter]:
    """Put fresh adapters beside the family's layers and return what there is to train; they begin as no change."""
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(family.adapter_targets))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer.add_adapter(config, adapter_name=NAME)
    keep_adapters_in_float32(transformer)
    trained = list(adapter_weights(transformer).values())
    assert trained, f"no layer of the transformer ends in any of {family.adapter_targets}"
    return trained


def adapter_weights(transformer: WanTransformer3DModel) -> dict[str, nn.Parameter]:
    """Return the adapters' own matrices by name, as they are trained."""
    return {
        f"{name}.lora_{matrix}": getattr(layer, f"lora_{matrix}")[NAME].weight
        for name, layer in adapted_layers(transformer)
        for matrix in "AB"
    }


def save_adapter(transformer: WanTransformer3DModel, path: Path, metadata: dict[str, Any]) -> None:
    """Write the adapters as one file that as many tools as can be read whole, with the metadata under our own key."""
    adapter = adapter_of(transformer)
    left_out = write_adapter(adapter, path, widest_format(adapter), metadata)
    assert not left_out, f"{left_out} would be lost"
