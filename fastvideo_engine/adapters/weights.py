"""Read a transformer's weights one at a time, in one file or many, and write changed ones without holding the rest."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fastvideo_engine.errors import ModelError

_INDEX = "diffusion_pytorch_model.safetensors.index.json"
_LENGTH_BYTES = 8  # of the number that a safetensors file begins with


@dataclass(frozen=True)
class Weights:
    """The tensors of a transformer's folder by name, each read when it is asked for."""

    files: dict[str, Path]
    shapes: dict[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> Tensor:
        # Opened anew each time: it maps the file without reading it, and nothing of it stays in memory.
        with safe_open(self.files[name], "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


def open_weights(folder: Path) -> Weights:
    """Find the tensors in a folder of safetensors, or in one such file; raise `ModelError` when they cannot be read."""
    files: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (it is no dict)
                    if name in files:
                        raise ModelError(f"{folder} holds {name} twice; keep one set of weights in it.")
                    files[name] = file
                    shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ModelError(f"{file} cannot be read ({reason}); fetch the model again.") from None
    return Weights(files, shapes)


def weight_files(folder: Path) -> list[Path]:
    """List the files of weights that the index of a folder names, or all of one that has none."""
    if folder.is_file():
        return [folder]
    if (folder / _INDEX).is_file():
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            files = [folder / name for name in sorted(set(index["weight_map"].values()))]
        except (ValueError, KeyError, TypeError):
            raise ModelError(f"{folder / _INDEX} is damaged; fetch the model again.") from None
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()] if files else ["*.safetensors"]
    if missing:
        raise ModelError(f"{folder} has no {missing[0]}, so its weights cannot be read; fetch the model again.")
    return files


def copy_changed(source: Path, target: Path, change: Callable[[str, Tensor], Tensor | None]) -> None:
    """Copy a safetensors file with some tensors changed, one in memory at a time; `change` returns None for the others.

    What is changed keeps its dtype and shape, so that the copy has the very layout of the original.
    """
    with source.open("rb") as original, safe_open(source, "pt") as tensors, target.open("wb") as copy:
        prefix = original.read(_LENGTH_BYTES)
        header = original.read(int.from_bytes(prefix, "little"))
        copy.write(prefix + header)
        layout = json.loads(header)
        layout.pop("__metadata__", None)
        for name in sorted(layout, key=lambda name: layout[name]["data_offsets"]):
            before = tensors.get_tensor(name)
            after = change(name, before)
            kept = before if after is None else after.to("cpu", before.dtype)
            assert kept.shape == before.shape, f"{name} changed its shape"
            copy.write(kept.contiguous().flatten().view(torch.uint8).numpy().data)


def link_or_copy(source: Path, target: Path) -> None:
    """Give weights a second name where the file system can, which costs no space; copy everything else."""
    target.parent.mkdir(parents=True, exist_ok=True)
    real = source.resolve()  # the hub's cache is made of links, whose own second name would lead nowhere
    if source.suffix == ".safetensors":
        try:
            os.link(real, target)
            return
        except OSError:  # another file system, or one without hard links
            pass
    shutil.copyfile(real, target)
