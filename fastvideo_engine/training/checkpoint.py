"""Write checkpoints that count only once they are whole, and go on from the newest."""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fastvideo_engine.adapters.applied import adapted_layers
from fastvideo_engine.attention.stored import record_sparsity
from fastvideo_engine.attention.wan import sparsity_of
from fastvideo_engine.errors import SpecError, StorageError
from fastvideo_engine.events import ArtifactMade
from fastvideo_engine.families.family import EXPERTS
from fastvideo_engine.run_folder import Checkpoint, RunFolder, forget_folder, write_whole
from fastvideo_engine.specs.train import Dense, Full, Lora, TrainSpec
from fastvideo_engine.training.lora import save_adapter
from fastvideo_engine.training.trained import Trained, weight_name


def save(folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec) -> list[ArtifactMade]:
    """Write the checkpoint of a step, then forget all but the newest; return what to tell of it."""
    try:
        made = _write(folder, step, loss, trained, spec)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
        reason = str(error).splitlines()[0].rstrip(".")
        raise StorageError(
            f"The checkpoint of step {step} cannot be written to {folder.checkpoints} ({reason}); "
            "make room and continue the run, which goes on from the checkpoint before."
        ) from None
    for stale in folder.complete_checkpoints()[: -spec.saving.keep]:
        forget_folder(stale.path)
    return made


def resume(folder: RunFolder, trained: Trained, spec: TrainSpec) -> int:
    """Put the newest checkpoint's weights and optimizer back and return its step; 0 when there is none."""
    newest = folder.newest_checkpoint()
    if newest is None:
        return 0
    state = _read(newest.training_state, partial(torch.load, map_location="cpu", weights_only=True))
    _check_same(state["tuning"], spec.tuning.model_dump())
    _check_same(state.get("attention", Dense().model_dump()), spec.attention.model_dump())
    exported = _whole_transformers(newest, trained) if isinstance(spec.tuning, Full) else {}
    _put_back(trained.weights, state.get("weights", exported))
    if trained.average is not None:
        _put_back(trained.average.weights, state.get("average", exported))
    trained.adamw.load_state_dict(state["optimizer"])
    return newest.step


def final_loss(checkpoint: Checkpoint) -> float:
    """Return the loss of the step that a checkpoint was written after."""
    return float(json.loads(checkpoint.completion.read_text())["loss"])


def _write(folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec) -> list[ArtifactMade]:
    final = folder.checkpoint(step)
    beside = Checkpoint(final.path.with_name(f".{final.path.name}.part"))
    shutil.rmtree(beside.path, ignore_errors=True)  # of a run that was killed while it wrote
    beside.path.mkdir(parents=True)
    with trained.shown():
        made = [_export(part, beside, step, trained, spec) for part in trained.transformers]
    torch.save(_state(step, trained, spec), beside.training_state)
    write_whole(beside.completion, json.dumps({"step": step, "loss": loss}))
    forget_folder(final.path)
    beside.path.replace(final.path)
    return [each.model_copy(update={"path": folder.relative(final.path / each.path)}) for each in made]


def _state(step: int, trained: Trained, spec: TrainSpec) -> dict[str, Any]:
    """Put together what resuming needs beside the export, which for a whole transformer is what is shown of it."""
    asked = {"tuning": spec.tuning.model_dump(), "attention": spec.attention.model_dump()}
    state = {"step": step, **asked, "optimizer": trained.adamw.state_dict()}
    is_whole = isinstance(spec.tuning, Full)
    if not is_whole or trained.average is not None:
        state["weights"] = {name: weight.detach() for name, weight in trained.weights.items()}
    if not is_whole and trained.average is not None:
        state["average"] = dict(trained.average.weights)
    return state


def _export(part: str, checkpoint: Checkpoint, step: int, trained: Trained, spec: TrainSpec) -> ArtifactMade:
    """Write of one transformer what other tools read, and tell of it by its path in the checkpoint."""
    transformer: Any = trained.transformers[part]
    sparsity = sparsity_of(transformer)
    sparse = {} if sparsity is None else {"sparsity": sparsity}
    match spec.tuning:
        case Full():
            path = checkpoint.transformer(part)
            transformer.save_pretrained(path)
            record_sparsity(transformer, path)
            facts: dict[str, Any] = {"model": spec.model, "parameters": transformer.num_parameters(), **sparse}
            return ArtifactMade(kind="transformer", path=_inside(checkpoint, path), step=step, facts=facts)
        case Lora(rank=rank, alpha=alpha):
            is_alone = len(trained.family.transformers) == 1
            path = checkpoint.adapter if is_alone else checkpoint.expert_adapter(EXPERTS[part])
            path.parent.mkdir(exist_ok=True)
            facts = {"rank": rank, "alpha": alpha, "layers": sum(1 for _ in adapted_layers(transformer)), **sparse}
            metadata = {**facts, "model": spec.model, "step": step}
            save_adapter(transformer, path, metadata)
            return ArtifactMade(kind="adapter", path=_inside(checkpoint, path), step=step, facts=facts)


def _inside(checkpoint: Checkpoint, path: Path) -> str:
    return path.relative_to(checkpoint.path).as_posix()


def _whole_transformers(checkpoint: Checkpoint, trained: Trained) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for part in trained.transformers:
        for file in checkpoint.transformer(part).glob("*.safetensors"):  # several where they are many
            weights |= {weight_name(f"{part}.{name}"): weight for name, weight in _read(file, load_file).items()}
    return weights


@torch.no_grad()
def _put_back(into: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    for name, weight in into.items():
        weight.copy_(weights[name])


def _read(file: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read(file)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise StorageError(
            f"{file} cannot be read ({reason}); remove {file.parent} to continue from the checkpoint before."
        ) from None


def _check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    # Only what the run was begun with: it may be older than some of the settings.
    differing = [name for name in before if before[name] != now.get(name)]
    if differing:
        was, is_now = (_in_words(settings, differing) for settings in (before, now))
        raise SpecError(f"This run was begun with {was} and cannot go on with {is_now}; start a new run for that.")


def _in_words(settings: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {settings[name]}" for name in names if name in settings)
