"""Read adapters as diffusers, peft, FastVideo, ComfyUI and kohya's tools write them."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families.layer_names import names_of_layer

METADATA = "fastvideo_studio"
"""The key of the file's metadata under which the studio says what it knows of an adapter."""
_DIFFUSERS_METADATA = "lora_adapter_metadata"
_PREFIXES = ("base_model.model.", "transformer.", "diffusion_model.", "model.diffusion_model.", "lora_unet_")
_KEY = re.compile(
    r"(?P<layer>.+?)\."
    r"(?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up|alpha|lora_alpha|lora_rank"
    r"|lora_magnitude_vector|dora_scale|diff|diff_b)"
    r"(?:\.default)?(?:\.(?P<kind>weight|bias))?"
)
_GATE = re.compile(r"blocks\.\d+\.to_gate_compress\.(?:weight|bias)")
_ONE_NAME = {
    "lora_down": "lora_A",
    "lora.down": "lora_A",
    "lora_up": "lora_B",
    "lora.up": "lora_B",
    "lora_alpha": "alpha",
    "dora_scale": "magnitude",
    "lora_magnitude_vector": "magnitude",
}


Parts = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class _Content:
    """A file as it was read: what it holds by layer and part, and the settings that stand in or beside it."""

    parts: Parts
    gates: Mapping[str, Tensor]
    settings: LoraConfig | None
    is_fastvideos: bool

    @property
    def says_alpha(self) -> bool:
        return self.settings is not None or any("alpha" in layer for layer in self.parts.values())


def read_adapter(file: Path, alpha: float | None = None) -> Adapter:
    """Read an adapter file of any tool; raise `ModelError` where a part of it is of no layer that we know.

    `alpha` is for files that do not say theirs, such as FastVideo's checkpoints.
    """
    content = _content(file)
    if content.says_alpha and alpha is not None:
        raise ModelError(f"{file} says its alpha itself; leave --alpha out.")
    layers: dict[str, LowRank] = {}
    differences: dict[str, Tensor] = {}
    for name, layer in content.parts.items():
        differences |= _differences(name, layer)
        if layer.keys() <= {"diff", "diff_b"}:
            continue
        down, up = _matrices(file, name, layer)
        scale = _scale(name, layer, content.settings, alpha)
        if down.ndim > 2:  # of a convolution, which peft's linear layers do not stand for
            differences[f"{name}.weight"] = (up.flatten(1) @ down.flatten(1) * scale).view(-1, *down.shape[1:])
        else:
            layers[name] = LowRank(down, up * scale, _magnitude(file, name, layer))
        if "bias" in layer:
            differences[f"{name}.bias"] = layer["bias"].float() * scale
    assumed = (
        f"{file} does not say its alpha, so it is taken to be the rank, as FastVideo does; if it was trained with "
        "another, export it once with --alpha."
    )
    is_assumed = content.is_fastvideos and not content.says_alpha and alpha is None
    return Adapter(layers, differences, content.gates, (assumed,) if is_assumed else ())


def is_gate(parameter: str) -> bool:
    """Tell the weight or bias of sparse attention's gate by its name."""
    return _GATE.fullmatch(parameter) is not None


def read_metadata(file: Path) -> dict[str, Any]:
    """Return what the studio wrote into an adapter's file about it; nothing for other tools' files."""
    with safe_open(file, "pt") as opened:
        told: dict[str, Any] = json.loads((opened.metadata() or {}).get(METADATA, "{}"))
    return told


def _content(file: Path) -> _Content:
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            keys = list(opened.keys())
            gates = {bare: opened.get_tensor(key) for key in keys if is_gate(bare := _bare(key))}
            # Before any other tensor is read: it may be a whole model.
            places = _places(file, [key for key in keys if _bare(key) not in gates])
            parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
            for key, (layer, part) in places.items():
                parts[layer][part] = opened.get_tensor(key)
        return _Content(
            parts, gates, _settings(file, metadata), is_fastvideos=any(key.endswith(".lora_A") for key in keys)
        )
    except FileNotFoundError:
        raise ModelError(f"There is no adapter at {file}; check the path.") from None
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelError(f"{file} is not a LoRA that can be read ({reason}); choose a .safetensors LoRA.") from None


def _places(file: Path, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    found = {key: _place(key) for key in keys}
    places = {key: place for key, place in found.items() if place is not None}
    strange = [key for key in keys if key not in places]
    if strange or not places:
        example = f", such as {strange[0]}" if strange else ""
        raise ModelError(
            f"{file} is not a LoRA that can be read ({len(strange)} of its {len(keys)} tensors "
            f"are not an adapter of any layer that we know{example}); choose a .safetensors LoRA made for Wan."
        )
    return places


def _place(key: str) -> tuple[str, str] | None:
    """Split a tensor's name into diffusers' name of the layer and what part of its adapter this is."""
    match = _KEY.fullmatch(_bare(key))
    names = names_of_layer(match["layer"]) if match else None
    if match is None or names is None:
        return None
    part = _ONE_NAME.get(match["part"], match["part"])
    return names.diffusers, "bias" if match["kind"] == "bias" else part


def _bare(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _settings(file: Path, metadata: Mapping[str, str]) -> LoraConfig | None:
    """Read the settings that peft writes beside an adapter, and diffusers into it."""
    beside = file.with_name("adapter_config.json")
    if beside.is_file():
        return _lora_config(json.loads(beside.read_text(encoding="utf-8")))
    inside = json.loads(metadata.get(_DIFFUSERS_METADATA, "{}"))
    return _lora_config({name.removeprefix("transformer."): value for name, value in inside.items()} or None)


def _lora_config(settings: dict[str, Any] | None) -> LoraConfig | None:
    if settings is None:
        return None
    known = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")
    return LoraConfig(**{name: settings[name] for name in known if name in settings})


def _matrices(file: Path, name: str, layer: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    try:
        down, up = layer["lora_A"].float(), layer["lora_B"].float()
    except KeyError:
        raise ModelError(f"{file} holds half an adapter of {name}; export it again.") from None
    if min(down.ndim, up.ndim) < 2 or down.shape[0] != up.shape[1]:
        raise ModelError(f"The two matrices of {name} in {file} do not go together; export it again.")
    return down, up


def _scale(name: str, layer: Mapping[str, Tensor], settings: LoraConfig | None, alpha: float | None) -> float:
    """Return alpha / rank of a layer: from the file where it says so, else as the settings beside it do, else 1."""
    rank = layer["lora_A"].shape[0]
    if "alpha" in layer:
        return float(layer["alpha"].item()) / rank
    if settings is not None:
        pattern = get_pattern_key(settings.alpha_pattern.keys(), name)
        chosen = settings.alpha_pattern.get(pattern, settings.lora_alpha)
        return float(chosen) / (rank**0.5 if settings.use_rslora else rank)
    return 1.0 if alpha is None else alpha / rank


def _magnitude(file: Path, name: str, layer: Mapping[str, Tensor]) -> Tensor | None:
    magnitude = layer.get("magnitude")
    if magnitude is not None and magnitude.numel() != layer["lora_B"].shape[0]:
        raise ModelError(f"The DoRA of {name} in {file} scales a layer's inputs, which peft's does not; use a LoRA.")
    return None if magnitude is None else magnitude.float().flatten()


def _differences(name: str, layer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A table is a parameter itself; tools often write norms that did not change, which are nothing to apply.
    parameter = name if name.endswith("scale_shift_table") else f"{name}.weight"
    found = {parameter: layer.get("diff"), f"{name}.bias": layer.get("diff_b")}
    return {name: tensor.float() for name, tensor in found.items() if tensor is not None and tensor.any()}
