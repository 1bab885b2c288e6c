"""Sparse attention in files: gates under FastVideo's names, and how sparse the weights were trained to be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fastvideo_engine.adapters.files import adapter_file
from fastvideo_engine.adapters.reading import is_gate, read_adapter, read_metadata
from fastvideo_engine.adapters.weights import open_weights
from fastvideo_engine.attention.wan import sparsity_of
from fastvideo_engine.errors import ModelError

_RECORD = "sparse_attention.json"  # beside a transformer's weights: in config.json FastVideo knows no such field


@dataclass(frozen=True)
class StoredGates:
    """Gates by FastVideo's names, where they were found, and the sparsity they were trained with, where it is said."""

    source: Path
    weights: Mapping[str, Tensor]
    sparsity: float | None


def gates(transformer: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights and biases of the gates by FastVideo's names; none where attention is dense."""
    return {name: weight for name, weight in transformer.named_parameters() if is_gate(name)}


def gates_of_transformer(folder: Path) -> StoredGates | None:
    """Read the gates from the folder of a transformer's weights; None where there are none."""
    stored = open_weights(folder)
    weights = {name: stored[name] for name in stored.shapes if is_gate(name)}
    said = json.loads((folder / _RECORD).read_text(encoding="utf-8")) if (folder / _RECORD).exists() else {}
    return StoredGates(folder, weights, said.get("sparsity")) if weights else None


def gates_of_adapter(path: Path) -> StoredGates | None:
    """Read the gates from an adapter; None where there are none."""
    file = adapter_file(path)
    weights = read_adapter(file).gates
    return StoredGates(file, weights, read_metadata(file).get("sparsity")) if weights else None


def put_gates(transformer: nn.Module, stored: StoredGates, strength: float = 1.0) -> None:
    """Move the transformer's gates so far towards the stored ones; raise `ModelError` unless all of them fit."""
    ours, theirs = gates(transformer), stored.weights
    every = {**ours, **theirs}
    misfits = [name for name in every if _shape(ours.get(name)) != _shape(theirs.get(name))]
    if misfits:
        raise ModelError(
            f"The gates of sparse attention in {stored.source} do not fit this model ({len(misfits)} of {len(every)} "
            f"weights, such as {min(misfits)}); choose the model that they were trained on."
        )
    with torch.no_grad():
        for name, weight in ours.items():
            weight.lerp_(theirs[name].to(weight), strength)


def record_sparsity(transformer: nn.Module, folder: Path) -> None:
    """Write beside a transformer's weights how sparse they are trained to be; nothing where attention is dense."""
    sparsity = sparsity_of(transformer)
    if sparsity is not None:
        (folder / _RECORD).write_text(json.dumps({"sparsity": sparsity}), encoding="utf-8")


def _shape(weight: Tensor | None) -> torch.Size | None:
    return None if weight is None else weight.shape
