"""Extract an adapter from a finetuned model: what differs from its base, each layer's by its largest directions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.adapters.merge import transformers_of
from fastvideo_engine.adapters.weights import Weights, open_weights
from fastvideo_engine.adapters.writing import write_adapter
from fastvideo_engine.components import model_folder
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families.family import EXPERTS
from fastvideo_engine.families.layer_names import names_of_layer
from fastvideo_engine.specs.base import is_folder

_UNCHANGED = 1e-8  # at most this far from the base, as in FastVideo's own script
# Halko et al., 2011, arXiv:0909.4061: a few more directions than asked for and some passes over the matrix find the
# largest ones nearly as well as a full decomposition, which takes minutes for one layer of a 14B model.
_EXTRA_DIRECTIONS = 32
_PASSES = 4
_WORTH_APPROXIMATING = 4  # times fewer directions than the matrix has


@dataclass(frozen=True)
class Energy:
    """How much of a layer's change, squared and summed, its adapter keeps."""

    kept: float
    whole: float

    @property
    def share(self) -> float:
        return self.kept / self.whole if self.whole else 1.0


def run(base: str, finetuned: str, rank: int, out: Path) -> None:
    """Write what distinguishes a finetuned model from its base, and print the share of it that each layer keeps.

    For a base with two experts `out` is a folder, with a file for each expert that changed.
    """
    parts = EXPERTS.keys()
    base_folder = model_folder(base, tuple(parts))
    other = Path(finetuned).expanduser() if is_folder(finetuned) else model_folder(finetuned, tuple(parts))
    transformers = transformers_of(base_folder)
    written = 0
    for part in transformers:
        source = _transformer_in(other, part, alone=len(transformers) == 1)
        adapter, energies = difference(open_weights(base_folder / part), open_weights(source), rank)
        if adapter.count == 0:
            continue
        file = out if len(transformers) == 1 else out / f"{EXPERTS[part]}.safetensors"
        overall = total(energies)
        facts: dict[str, Any] = {"rank": rank, "model": base, "finetuned": finetuned, "kept_energy": overall.share}
        # ComfyUI's is the one format that has a place for changed biases and norms; diffusers reads its layers as well.
        left_out = write_adapter(adapter, file, "comfyui", facts)
        assert not left_out, "the format holds everything"
        _tell(adapter, energies, file)
        written += 1
    if not written:
        raise ModelError(f"{finetuned} does not differ from {base}; choose the model that was finetuned from it.")


def difference(base: Weights, finetuned: Weights, rank: int) -> tuple[Adapter, dict[str, Energy]]:
    """Return what turns the base into the finetuned weights: linear layers by a low rank, all else as it is.

    With it comes how much of each layer's change was kept.
    """
    _check_same_model(base, finetuned)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layers: dict[str, LowRank] = {}
    differences: dict[str, Tensor] = {}
    energies: dict[str, Energy] = {}
    for name, shape in base.shapes.items():
        change = finetuned[name].to(device, torch.float32) - base[name].to(device, torch.float32)
        if change.abs().max() <= _UNCHANGED:
            continue
        if len(shape) == 2 and name.endswith(".weight"):
            layer = name.removesuffix(".weight")
            layers[layer], energies[layer] = low_rank(change, rank)
        else:
            differences[name] = change.cpu()
    return Adapter(layers, differences), energies


def low_rank(change: Tensor, rank: int) -> tuple[LowRank, Energy]:
    """Split a change into its largest directions, the square root of each one's size on either side."""
    rank = min(rank, *change.shape)
    if (rank + _EXTRA_DIRECTIONS) * _WORTH_APPROXIMATING < min(change.shape):
        with torch.random.fork_rng(devices=[change.device] if change.is_cuda else []):
            torch.manual_seed(0)  # the same adapter each time
            left, sizes, right = torch.svd_lowrank(change, rank + _EXTRA_DIRECTIONS, niter=_PASSES)
        right = right.T
    else:
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
    root = sizes[:rank].sqrt()
    up, down = left[:, :rank] * root, root.unsqueeze(1) * right[:rank]
    whole = torch.linalg.vector_norm(change, dtype=torch.float64).item() ** 2
    return LowRank(down.cpu(), up.cpu()), Energy(sizes[:rank].double().square().sum().item(), whole)


def total(energies: dict[str, Energy]) -> Energy:
    return Energy(sum(energy.kept for energy in energies.values()), sum(energy.whole for energy in energies.values()))


def _transformer_in(finetuned: Path, part: str, alone: bool) -> Path:
    """Find a transformer in a model's folder; where the base has but one, its own folder or file will do as well."""
    if (finetuned / part).is_dir():
        return finetuned / part
    if alone and finetuned.exists():
        return finetuned
    raise ModelError(f"{finetuned} has no {part}; give a model folder in the diffusers format.")


def _check_same_model(base: Weights, finetuned: Weights) -> None:
    differing = [name for name, shape in finetuned.shapes.items() if base.shapes.get(name) != shape]
    differing += [name for name in base.shapes if name not in finetuned.shapes]
    if differing:
        raise ModelError(
            f"The two models are not of one build ({len(differing)} weights differ in name or shape, such as "
            f"{differing[0]}); choose the base that the model was finetuned from."
        )
    layers = [name.removesuffix(".weight").removesuffix(".bias") for name in base.shapes]
    strange = [layer for layer in layers if names_of_layer(layer) is None]
    if strange:
        raise ModelError(f"Adapters have no name for {strange[0]}; extraction takes Wan models.")


def _tell(adapter: Adapter, energies: dict[str, Energy], file: Path) -> None:
    for name, energy in energies.items():
        print(f"{energy.share:8.2%}  {name}")
    whole = f", and {len(adapter.differences)} biases, norms and tables whole" if adapter.differences else ""
    print(f"Wrote {len(adapter.layers)} layers to {file}, {total(energies).share:.2%} of their change kept{whole}.")
    if not all(name.endswith(".bias") for name in adapter.differences):
        print("Norms and tables are read by merge, generate and ComfyUI; diffusers and FastVideo pass over them.")
