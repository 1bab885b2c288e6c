"""Write checkpoints that count only once they are whole, and go on from the newest."""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from fastvideo_engine.adapters.applied import adapted_layers, adapter_of
from fastvideo_engine.attention.wan import sparsity_of
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError, StorageError
from fastvideo_engine.events import ArtifactMade
from fastvideo_engine.families.family import EXPERTS
from fastvideo_engine.run_folder import Checkpoint, RunFolder, forget_folder, write_whole
from fastvideo_engine.specs.train import Dense, Full, Lora, TrainSpec
from fastvideo_engine.training.lora import save_adapter
from fastvideo_engine.training.sharding import shard_of
from fastvideo_engine.training.state import put_back, read_state, read_stored, write_state
from fastvideo_engine.training.trained import Trained, weight_name
from fastvideo_engine.training.whole import write_transformer


def save(
    folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec, ranks: Ranks
) -> list[ArtifactMade]:
    """Write the checkpoint of a step, all processes together, then forget all but the newest; return what to tell."""
    try:
        made = _write(folder, step, loss, trained, spec, ranks)
    except (OSError, RuntimeError, SafetensorError, CheckpointException) as error:  # torch's own, and safetensors'
        reason = str(error).splitlines()[0].rstrip(".")
        raise StorageError(
            f"The checkpoint of step {step} cannot be written to {folder.checkpoints} ({reason}); "
            "make room and continue the run, which goes on from the checkpoint before."
        ) from None
    return made


def resume(folder: RunFolder, trained: Trained, spec: TrainSpec) -> int:
    """Put the newest checkpoint's weights and optimizer back and return its step; 0 when there is none.

    It may have been written by any number of processes.
    """
    newest = folder.newest_checkpoint()
    if newest is None:
        return 0
    state = read_stored(newest.training_state, partial(torch.load, map_location="cpu", weights_only=True))
    _check_same(state["tuning"], spec.tuning.model_dump())
    _check_same(state.get("attention", Dense().model_dump()), spec.attention.model_dump())
    for missing in read_state(newest, state, trained):
        if isinstance(spec.tuning, Full):  # what is exported is not stored again
            _put_back_exported(newest, trained, missing)
        else:
            put_back(missing, trained.weights)
    return newest.step


def final_loss(checkpoint: Checkpoint) -> float:
    """Return the loss of the step that a checkpoint was written after."""
    return float(json.loads(checkpoint.completion.read_text())["loss"])


def _write(
    folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec, ranks: Ranks
) -> list[ArtifactMade]:
    final = folder.checkpoint(step)
    beside = Checkpoint(final.path.with_name(f".{final.path.name}.part"))
    if ranks.is_first:
        shutil.rmtree(beside.path, ignore_errors=True)  # of a run that was killed while it wrote
        beside.path.mkdir(parents=True)
    ranks.barrier()
    with trained.shown():
        made = [_export(part, beside, step, trained, spec, ranks) for part in trained.transformers]
    asked = {"tuning": spec.tuning.model_dump(), "attention": spec.attention.model_dump()}
    write_state(beside, {"step": step, **asked}, _not_exported(trained, spec), trained, ranks)
    ranks.barrier()  # what others write must be there before it counts
    if ranks.is_first:
        write_whole(beside.completion, json.dumps({"step": step, "loss": loss}))
        forget_folder(final.path)
        beside.path.replace(final.path)
        for stale in folder.complete_checkpoints()[: -spec.saving.keep]:
            forget_folder(stale.path)
    ranks.barrier()
    return [each.model_copy(update={"path": folder.relative(final.path / each.path)}) for each in made]


def _not_exported(trained: Trained, spec: TrainSpec) -> list[str]:
    """Name what resuming needs beside the export, which for a whole transformer is what is shown of it."""
    shown = "weights" if trained.average is None else "average"
    return [name for name in trained.kept if not isinstance(spec.tuning, Full) or name != shown]


def _export(
    part: str, checkpoint: Checkpoint, step: int, trained: Trained, spec: TrainSpec, ranks: Ranks
) -> ArtifactMade:
    """Write of one transformer what other tools read, and tell of it by its path in the checkpoint."""
    transformer: Any = trained.transformers[part]
    sparsity = sparsity_of(transformer)
    sparse = {} if sparsity is None else {"sparsity": sparsity}
    match spec.tuning:
        case Full():
            path = checkpoint.transformer(part)
            write_transformer(transformer, path, ranks)
            facts: dict[str, Any] = {"model": spec.model, "parameters": transformer.num_parameters(), **sparse}
            return ArtifactMade(kind="transformer", path=_inside(checkpoint, path), step=step, facts=facts)
        case Lora(rank=rank, alpha=alpha):
            is_alone = len(trained.family.transformers) == 1
            path = checkpoint.adapter if is_alone else checkpoint.expert_adapter(EXPERTS[part])
            adapter = adapter_of(transformer)
            facts = {"rank": rank, "alpha": alpha, "layers": sum(1 for _ in adapted_layers(transformer)), **sparse}
            metadata = {**facts, "model": spec.model, "step": step}
            if ranks.is_first:
                path.parent.mkdir(exist_ok=True)
                save_adapter(adapter, path, metadata)
            return ArtifactMade(kind="adapter", path=_inside(checkpoint, path), step=step, facts=facts)


def _inside(checkpoint: Checkpoint, path: Path) -> str:
    return path.relative_to(checkpoint.path).as_posix()


def _put_back_exported(checkpoint: Checkpoint, trained: Trained, into: Mapping[str, Tensor]) -> None:
    for part in trained.transformers:
        for file in checkpoint.transformer(part).glob("*.safetensors"):  # several where they are many
            read_stored(file, partial(_put_back_from, part=part, into=into))


@torch.no_grad()
def _put_back_from(file: Path, part: str, into: Mapping[str, Tensor]) -> None:
    with safe_open(file, "pt") as tensors:  # one at a time: each process may need but a shard of it
        for name in tensors.keys():  # noqa: SIM118 (it is no dict)
            weight = into[weight_name(f"{part}.{name}")]
            weight.copy_(shard_of(tensors.get_tensor(name), weight))


def _check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    # Only what the run was begun with: it may be older than some of the settings.
    differing = [name for name in before if before[name] != now.get(name)]
    if differing:
        was, is_now = (_in_words(settings, differing) for settings in (before, now))
        raise SpecError(f"This run was begun with {was} and cannot go on with {is_now}; start a new run for that.")


def _in_words(settings: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {settings[name]}" for name in names if name in settings)
