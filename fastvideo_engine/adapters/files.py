"""Find the file of an adapter, or one file for each of two experts, in what was named."""

from collections.abc import Sequence
from pathlib import Path

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families.family import EXPERTS

# What peft, diffusers, this studio and FastVideo call the file in the folders that they write.
_NAMES = (
    "adapter_model.safetensors",
    "pytorch_lora_weights.safetensors",
    "adapter.safetensors",
    "diffusion_pytorch_model.safetensors",
    "transformer/diffusion_pytorch_model.safetensors",
)


def adapter_files(path: Path, transformers: Sequence[str]) -> dict[str, Path]:
    """Tell which file each transformer of a model takes its adapter from.

    A folder may hold a file for each of two experts. A file for one of them names it (high_noise, low_noise); one that
    names neither goes to both, as in FastVideo.
    """
    if len(transformers) == 1:
        return {transformers[0]: adapter_file(path)}
    if not path.is_dir():
        named = expert_of(path)
        return {part: adapter_file(path) for part in transformers if named in (None, part)}
    pair = {part: file for file in sorted(path.glob("*.safetensors")) if (part := expert_of(file)) is not None}
    return pair or dict.fromkeys(transformers, adapter_file(path))


def adapter_file(path: Path) -> Path:
    """Return the adapter's file, which may be named by the folder that a tool wrote it to."""
    if not path.exists():
        raise ModelError(f"There is no adapter at {path}; check the path.")
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise ModelError(f"{path} holds {len(found)} .safetensors files, not one adapter; name the file itself.")
    return found[0]


def expert_of(file: Path) -> str | None:
    """Tell which of two experts a file's name says it is for."""
    name = file.name.lower()
    return next((part for part, noise in EXPERTS.items() if noise in name), None)
