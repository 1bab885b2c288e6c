"""Write adapters the way each tool wants to read them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.adapters.reading import METADATA, read_adapter
from fastvideo_engine.errors import ModelError, StorageError
from fastvideo_engine.families.family import LayerNames
from fastvideo_engine.families.layer_names import names_of_layer

Format = Literal["universal", "diffusers", "fastvideo", "comfyui"]


def write_adapter(adapter: Adapter, file: Path, form: Format, metadata: Mapping[str, Any]) -> list[str]:
    """Write an adapter, our own metadata in it, and return the names of the weights that this format cannot hold.

    What was written is read back and compared before the file gets its name.
    """
    held = {name: tensors for name, tensors in _by_weight(adapter, form).items() if tensors}
    left_out = [name for name in (*adapter.layers, *adapter.differences, *adapter.gates) if name not in held]
    if not held:
        raise ModelError(f"The format {form} can hold nothing of this adapter; choose another.")
    tensors = {key: tensor.contiguous() for one in held.values() for key, tensor in one.items()}
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # All alphas are in the matrices: the tools disagree on where to look for them, and some assume the rank.
        beside.write_bytes(save(tensors, metadata={"format": "pt", METADATA: json.dumps(dict(metadata))}))
        written = read_adapter(beside).count
        if written != len(held):
            raise StorageError(f"Only {written} of {len(held)} layers were written to {file}; export it again.")
        beside.replace(file)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise StorageError(f"{file} cannot be written ({reason}); make room or choose another place.") from None
    finally:
        beside.unlink(missing_ok=True)
    return left_out


def widest_format(adapter: Adapter) -> Format:
    """Choose the format in which most tools read the whole of an adapter."""
    if all(_by_weight(adapter, "universal").values()):
        return "universal"
    # diffusers refuses ComfyUI's spelling of DoRA, and ComfyUI's format is otherwise read by both.
    has_dora = any(layer.magnitude is not None for layer in adapter.layers.values())
    return "diffusers" if has_dora and not adapter.differences else "comfyui"


def _by_weight(adapter: Adapter, form: Format) -> dict[str, dict[str, Tensor]]:
    low_rank = {name: _layer(_names(name), layer, form) for name, layer in adapter.layers.items()}
    differences = {name: _difference(name, tensor, form) for name, tensor in adapter.differences.items()}
    # diffusers knows no sparse attention and refuses files with its gates.
    gates = {name: {} if form == "diffusers" else {name: gate} for name, gate in adapter.gates.items()}
    return low_rank | differences | gates


def _layer(names: LayerNames, layer: LowRank, form: Format) -> dict[str, Tensor]:
    """Name the tensors of one layer; none where the format's readers would pass them over."""
    if form == "universal" and (not names.read_by_all or layer.magnitude is not None):
        return {}
    # FastVideo adapts no layer whose name has "embedder" in it, and knows no DoRA.
    if form == "fastvideo" and ("embedder" in names.fastvideo or layer.magnitude is not None):
        return {}
    stem = {"diffusers": f"transformer.{names.diffusers}", "fastvideo": names.fastvideo}.get(
        form, f"diffusion_model.{names.original}"
    )
    tensors = {f"{stem}.lora_A.weight": layer.down, f"{stem}.lora_B.weight": layer.up}
    if layer.magnitude is not None:
        dora = {f"{stem}.lora_magnitude_vector": layer.magnitude}
        tensors |= {f"{stem}.dora_scale": layer.magnitude.unsqueeze(1)} if form == "comfyui" else dora
    return tensors


def _difference(parameter: str, tensor: Tensor, form: Format) -> dict[str, Tensor]:
    # diffusers' own format has only biases of adapted layers, all or none; ComfyUI's has a place for everything.
    if form != "comfyui":
        return {}
    if parameter.endswith(".bias"):
        return {f"diffusion_model.{_names(parameter.removesuffix('.bias')).original}.diff_b": tensor}
    return {f"diffusion_model.{_names(parameter.removesuffix('.weight')).original}.diff": tensor}


def _names(layer: str) -> LayerNames:
    names = names_of_layer(layer)
    assert names is not None, f"{layer} is of no layer that we know"
    return names
