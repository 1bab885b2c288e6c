"""Merge an adapter into a base model: a folder that any tool loads as a model of its own."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fastvideo_engine.adapters.adapter import Adapter, check_fits
from fastvideo_engine.adapters.files import adapter_files
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.adapters.weights import copy_changed, link_or_copy, open_weights, weight_files
from fastvideo_engine.components import ENCODERS, model_folder
from fastvideo_engine.errors import ModelError, StorageError
from fastvideo_engine.families.family import EXPERTS


def run(model: str, adapter: Path, strength: float, out: Path) -> None:
    """Write the model with the adapter merged into it to a folder, which is there only once it is whole."""
    if out.exists():
        raise StorageError(f"{out} exists already; choose another --out.")
    base = model_folder(model, (*EXPERTS, *ENCODERS))
    transformers = transformers_of(base)
    changes: dict[str, Adapter] = {}
    for part, file in adapter_files(adapter, transformers).items():
        changes[part] = read_adapter(file)
        check_fits(changes[part], open_weights(base / part).shapes, file)
        if changes[part].gates:
            raise ModelError(f"{file} was trained with sparse attention, whose gates cannot be merged; sample with it.")
        for notice in changes[part].notices:
            print(notice)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        counts = {part: _merge_part(base / part, beside / part, change, strength) for part, change in changes.items()}
        _copy_others(base, beside, merged=tuple(changes))
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    told = " and ".join(f"{count} weights of {part}" for part, count in counts.items())
    print(f"Merged {told} into {out}.")


def transformers_of(model: Path) -> Sequence[str]:
    """List the transformers of a model: one, or Wan 2.2 A14B's two experts."""
    return [part for part in EXPERTS if (model / part).is_dir()]


def _merge_part(source: Path, target: Path, adapter: Adapter, strength: float) -> int:
    """Copy a transformer's folder with the adapter in its weights, and return how many weights that changed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    merged: list[str] = []

    def change(name: str, weight: Tensor) -> Tensor | None:
        layer = adapter.layers.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        difference = adapter.differences.get(name)
        if layer is None and difference is None:
            return None
        merged.append(name)
        after = weight.to(device, torch.float32)
        if layer is not None:
            after = layer.on(after, strength)
        return after if difference is None else after + difference.to(device) * strength

    target.mkdir(parents=True)
    changed_files = weight_files(source)
    for file in changed_files:
        copy_changed(file, target / file.name, change)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            link_or_copy(file, target / file.name)
    assert len(merged) == len({f"{name}.weight" for name in adapter.layers} | adapter.differences.keys())
    return len(merged)


def _copy_others(base: Path, out: Path, merged: Sequence[str]) -> None:
    """Give the model's other parts to the new folder as well: those that its index names, and its licence."""
    index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    parts = [name for name in index if (base / name).is_dir() and name not in merged]
    files = [file for part in parts for file in sorted((base / part).rglob("*")) if file.is_file()]
    licences = [file for file in sorted(base.iterdir()) if file.is_file() and file.name.lower().startswith("licen")]
    for file in (base / "model_index.json", *licences, *files):
        link_or_copy(file, out / file.relative_to(base))
