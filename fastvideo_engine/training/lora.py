"""Low-rank adapters to train on a frozen transformer, and their file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig
from torch import nn

from fastvideo_engine.adapters.adapter import Adapter, check_fits
from fastvideo_engine.adapters.applied import NAME, adapted_layers, keep_adapters_in_float32
from fastvideo_engine.adapters.files import adapter_files
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.adapters.weights import open_weights
from fastvideo_engine.adapters.writing import widest_format, write_adapter
from fastvideo_engine.errors import ModelError, SpecError
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Lora


def add_adapter(transformer: WanTransformer3DModel, family: Family, lora: Lora, seed: int) -> list[nn.Parameter]:
    """Put fresh adapters beside the family's layers and return what there is to train; they begin as no change."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rank_stabilized,
        use_dora=lora.weight_decomposed,
        target_modules=_chosen_layers(transformer, lora.targets or family.adapter_targets),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer.add_adapter(config, adapter_name=NAME)
    keep_adapters_in_float32(transformer)
    return [weight for _, layer in adapted_layers(transformer) for weight in layer.parameters() if weight.requires_grad]


def read_starts(lora: Lora, model: Path, family: Family, parts: Sequence[str]) -> dict[str, Adapter]:
    """Read what each transformer is to begin from, checked against the model before its weights are loaded."""
    if lora.init_from is None:
        return {}
    files = adapter_files(Path(lora.init_from), family.transformers)
    starts = {part: _checked_start(files[part], model / part, lora) for part in parts if part in files}
    if not starts:
        raise ModelError(f"{lora.init_from} is for the other expert than is to be trained; choose its own adapter.")
    return starts


def _checked_start(file: Path, transformer: Path, lora: Lora) -> Adapter:
    adapter = read_adapter(file)
    check_fits(adapter, open_weights(transformer).shapes, file)
    rank = max((len(layer.down) for layer in adapter.layers.values()), default=0)
    if rank > lora.rank:
        raise ModelError(f"{file} has rank {rank}, but rank {lora.rank} is to be trained; set the rank to {rank}.")
    return adapter


def adapter_weights(transformer: WanTransformer3DModel) -> dict[str, nn.Parameter]:
    """Return the adapters' own matrices by name, as they are trained."""
    return {
        f"{name}.lora_{matrix}": getattr(layer, f"lora_{matrix}")[NAME].weight
        for name, layer in adapted_layers(transformer)
        for matrix in "AB"
    }


def save_adapter(adapter: Adapter, path: Path, metadata: dict[str, Any]) -> None:
    """Write an adapter as one file that as many tools as can be read whole, with the metadata under our own key."""
    left_out = write_adapter(adapter, path, widest_format(adapter), metadata)
    assert not left_out, f"{left_out} would be lost"


def _chosen_layers(transformer: nn.Module, targets: Sequence[str]) -> list[str]:
    """Name the linear layers whose name ends in a target, or is one as a regular expression."""
    linear = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    chosen = []
    for target in targets:
        found = [name for name in linear if f".{name}".endswith(f".{target}") or re.fullmatch(target, name)]
        if not found:
            raise SpecError(
                f"No linear layer of this model is called {target}; choose among ends such as "
                f"{', '.join(sorted({_end(name) for name in linear}))}."
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def _end(name: str) -> str:
    """Return the last part of a layer's name that says something: `to_out.0` rather than `0`."""
    *before, last = name.split(".")
    return f"{before[-1]}.{last}" if last.isdigit() else last
