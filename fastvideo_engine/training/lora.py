"""Low-rank adapters on a frozen transformer, and the file in which diffusers, FastVideo and ComfyUI read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import WanPipeline, WanTransformer3DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import Lora

_NAME = "default"
_PREFIX = "diffusion_model."  # with the authors' layer names after it: the one naming that all three tools read
_METADATA = "fastvideo_studio"


def add_adapter(transformer: WanTransformer3DModel, family: Family, lora: Lora, seed: int) -> list[nn.Parameter]:
    """Put fresh adapters beside the family's layers and return what there is to train; they begin as no change."""
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(family.adapter_targets))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer.add_adapter(config, adapter_name=_NAME)
    _keep_adapters_in_float32(transformer)
    trained = list(adapter_weights(transformer).values())
    assert trained, f"no layer of the transformer ends in any of {family.adapter_targets}"
    return trained


def adapter_weights(transformer: WanTransformer3DModel) -> dict[str, nn.Parameter]:
    """Return the adapters' own matrices by name, as they are trained."""
    return {
        f"{name}.lora_{matrix}": getattr(layer, f"lora_{matrix}")[_NAME].weight
        for name, layer in adapted_layers(transformer)
        for matrix in "AB"
    }


def adapted_layers(transformer: nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    """Go through the layers that have an adapter, by diffusers' names."""
    return ((name, module) for name, module in transformer.named_modules() if isinstance(module, LoraLayer))


def save_adapter(transformer: WanTransformer3DModel, path: Path, family: Family, metadata: dict[str, Any]) -> None:
    """Write the adapters as one file for all tools, with the metadata under our own key."""
    weights: dict[str, Tensor] = {}
    for name, layer in adapted_layers(transformer):
        theirs = _PREFIX + family.original_name(name)
        down, up = (getattr(layer, f"lora_{matrix}")[_NAME].weight.detach().float().cpu() for matrix in "AB")
        weights[f"{theirs}.lora_A.weight"] = down
        # alpha / rank goes into B: the tools disagree on where to look for alpha, and some assume alpha = rank.
        weights[f"{theirs}.lora_B.weight"] = up * layer.scaling[_NAME]
    save_file(weights, path, metadata={"format": "pt", _METADATA: json.dumps(metadata)})


def load_adapter(transformer: WanTransformer3DModel, path: Path, strength: float) -> int:
    """Put an adapter file's layers beside the transformer's and return how many.

    Raises `ModelError` unless every layer of the file finds its place: diffusers would only warn and leave it out.
    """
    weights = _read(path)
    layers = {name.rsplit(".lora_", 1)[0] for name in weights}
    misfits = sorted(name for name in layers if not _fits(transformer, name, weights))
    if misfits or not layers:
        raise ModelError(
            f"{path} was not made for this model ({len(misfits)} of its {len(layers)} layers do not fit); "
            "choose the base model that it was trained on."
        )
    transformer.load_lora_adapter({f"transformer.{name}": value for name, value in weights.items()}, adapter_name=_NAME)
    transformer.set_adapters(_NAME, strength)
    _keep_adapters_in_float32(transformer)
    transformer.requires_grad_(False)
    adapted = sum(1 for _ in adapted_layers(transformer))
    if adapted != len(layers):
        raise ModelError(f"Only {adapted} of the {len(layers)} layers in {path} could be used; export it again.")
    return adapted


class _CastingLinear(nn.Linear):
    """A linear layer that keeps float32 weights and computes in its input's dtype."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight.to(input.dtype))


def _keep_adapters_in_float32(transformer: nn.Module) -> None:
    # In bfloat16 a step of 1e-4 would be lost in the weights. peft's own remedy upcasts every activation instead
    # of the small matrix: half as much memory traffic again, and float32 products.
    for _, layer in adapted_layers(transformer):
        layer.cast_input_dtype_enabled = False
        for matrices in (layer.lora_A, layer.lora_B):
            matrices[_NAME] = _casting(matrices[_NAME])


def _casting(linear: nn.Linear) -> _CastingLinear:
    casting = _CastingLinear(linear.in_features, linear.out_features, bias=False, device="meta")
    casting.weight = nn.Parameter(linear.weight.detach().float())
    return casting


def _read(path: Path) -> dict[str, Tensor]:
    """Read an adapter file under any of the namings that diffusers knows, and return it under diffusers' own."""
    try:
        state = WanPipeline.lora_state_dict(load_file(path))
    except FileNotFoundError:
        raise ModelError(f"There is no adapter at {path}; check the path.") from None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelError(
            f"{path} is not a LoRA file that can be read ({reason}); choose a .safetensors LoRA."
        ) from None
    return {name.removeprefix("transformer."): value for name, value in state.items()}


def _fits(transformer: nn.Module, name: str, weights: dict[str, Tensor]) -> bool:
    try:
        layer = transformer.get_submodule(name)
        down, up = (weights[f"{name}.lora_{matrix}.weight"] for matrix in "AB")
    except (AttributeError, KeyError):
        return False
    shapes = (down.shape[-1], up.shape[0])
    return isinstance(layer, nn.Linear) and shapes == (layer.in_features, layer.out_features)
