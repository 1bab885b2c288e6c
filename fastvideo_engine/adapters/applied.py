"""Put adapters on a transformer in memory, at any strength, and take them from one that was trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fastvideo_engine.adapters.adapter import Adapter, LowRank, check_fits
from fastvideo_engine.adapters.files import adapter_file
from fastvideo_engine.adapters.reading import is_gate, read_adapter
from fastvideo_engine.distributed import whole
from fastvideo_engine.errors import ModelError

NAME = "default"
"""What peft calls the one adapter that a transformer of ours has."""


@dataclass(frozen=True)
class Applied:
    """An adapter on a frozen transformer."""

    transformer: WanTransformer3DModel
    adapter: Adapter
    before: Mapping[str, Tensor]
    """The parameters that the adapter changes as a whole, as the base has them."""

    @torch.no_grad()
    def set_strength(self, strength: float) -> None:
        """Weigh the adapter: 0 is the base exactly, 1 the adapter as it was trained."""
        if self.adapter.layers:
            self.transformer.set_adapters(NAME, strength)
            # DoRA at strength 0 would still scale the base's weights.
            (self.transformer.enable_adapters if strength else self.transformer.disable_adapters)()
            self.transformer.requires_grad_(False)  # which peft gives back to adapters that it enables
        for name, before in self.before.items():
            difference = self.adapter.differences[name].to(before.device)
            self.transformer.get_parameter(name).copy_(before.float() + strength * difference)


def load_adapter(transformer: WanTransformer3DModel, path: Path, strength: float) -> Applied:
    """Put an adapter file of any tool beside the transformer's layers.

    Raises `ModelError` unless every layer of the file finds its place: diffusers would only warn and leave it out.
    """
    file = adapter_file(path)
    adapter = read_adapter(file)
    parameters = dict(transformer.named_parameters())
    check_fits(adapter, {name: tuple(parameter.shape) for name, parameter in parameters.items()}, file)
    before = {name: parameters[name].detach().clone() for name in adapter.differences}
    if adapter.layers:
        transformer.load_lora_adapter(_for_peft(adapter), adapter_name=NAME)
    keep_adapters_in_float32(transformer)
    adapted = sum(1 for _ in adapted_layers(transformer))
    if adapted != len(adapter.layers):
        raise ModelError(
            f"Only {adapted} of the {len(adapter.layers)} layers in {file} could be used; export it again."
        )
    applied = Applied(transformer, adapter, before)
    applied.set_strength(strength)
    return applied


@torch.no_grad()
def start_from(transformer: nn.Module, adapter: Adapter) -> None:
    """Let fresh adapters begin as one that was read; its rank may be less than theirs, and some layers may lack it."""
    trained = dict(adapted_layers(transformer))
    strays = [name for name in (*adapter.layers, *adapter.differences) if name not in trained]
    if strays:
        raise ModelError(
            f"The adapter to start from changes {len(strays)} weights that are not trained here, such as {strays[0]}; "
            "train those layers too, or merge the adapter into the base model and start from that."
        )
    parameters = dict(transformer.named_parameters())
    if not adapter.gates.keys() <= parameters.keys():
        raise ModelError("The adapter to start from was trained with sparse attention; set the attention to vsa.")
    for name, gate in adapter.gates.items():
        parameters[name].copy_(gate)
    for name, layer in adapter.layers.items():
        down, up = (getattr(trained[name], f"lora_{matrix}")[NAME].weight for matrix in "AB")
        magnitudes = trained[name].lora_magnitude_vector
        if (layer.magnitude is not None) != (NAME in magnitudes):
            raise ModelError(
                "Of the adapter to start from and that to be trained one is DoRA; choose the same for both."
            )
        rank = len(layer.down)  # the rows and columns beyond stay as fresh ones: random, and zero
        down[:rank].copy_(layer.down)
        up[:, :rank].copy_(layer.up / trained[name].scaling[NAME])
        if layer.magnitude is not None:
            magnitudes[NAME].weight.copy_(layer.magnitude)


def adapter_of(transformer: nn.Module) -> Adapter:
    """Return the adapter that a transformer has now, and its gates of sparse attention, in float32 on the CPU."""
    layers = {name: _low_rank(layer) for name, layer in adapted_layers(transformer)}
    named = transformer.named_parameters()
    gates = {name: whole(gate.detach()).float().cpu().clone() for name, gate in named if is_gate(name)}
    return Adapter(layers, gates=gates)


def adapted_layers(transformer: nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    """Go through the layers that have an adapter, by diffusers' names."""
    return ((name, module) for name, module in transformer.named_modules() if isinstance(module, LoraLayer))


def keep_adapters_in_float32(transformer: nn.Module) -> None:
    """Hold adapters in float32 and compute with them in the base's dtype."""
    # In bfloat16 a step of 1e-4 would be lost in the weights. peft's own remedy upcasts every activation instead
    # of the small matrix: half as much memory traffic again, and float32 products.
    for _, layer in adapted_layers(transformer):
        layer.cast_input_dtype_enabled = False
        for matrices in (layer.lora_A, layer.lora_B):
            matrices[NAME] = _casting(matrices[NAME])
        for lengths in layer.lora_magnitude_vector.values():
            lengths.weight = nn.Parameter(lengths.weight.detach().float())


class _CastingLinear(nn.Linear):
    """A linear layer that keeps float32 weights and computes in its input's dtype."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight.to(input.dtype))


def _casting(linear: nn.Linear) -> _CastingLinear:
    casting = _CastingLinear(linear.in_features, linear.out_features, bias=False, device="meta")
    casting.weight = nn.Parameter(linear.weight.detach().float())
    return casting


def _for_peft(adapter: Adapter) -> dict[str, Tensor]:
    tensors = {}
    for name, layer in adapter.layers.items():
        tensors[f"transformer.{name}.lora_A.weight"] = layer.down
        tensors[f"transformer.{name}.lora_B.weight"] = layer.up
        if layer.magnitude is not None:
            tensors[f"transformer.{name}.lora_magnitude_vector"] = layer.magnitude
    return tensors


def _low_rank(layer: LoraLayer) -> LowRank:
    down, up = (whole(getattr(layer, f"lora_{matrix}")[NAME].weight.detach()).float().cpu() for matrix in "AB")
    # A copy even where nothing changes: training goes on with the original.
    magnitude = layer.lora_magnitude_vector[NAME].weight if NAME in layer.lora_magnitude_vector else None
    return LowRank(
        down.clone(),
        up * layer.scaling[NAME],
        None if magnitude is None else whole(magnitude.detach()).float().cpu().flatten().clone(),
    )
