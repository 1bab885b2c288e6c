"""Write checkpoints that count only once they are whole, and go on from the newest."""

import json
import shutil
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from safetensors import SafetensorError

from fastvideo_engine.errors import SpecError, StorageError
from fastvideo_engine.families import Family
from fastvideo_engine.run_folder import Checkpoint, RunFolder, forget_folder, write_whole
from fastvideo_engine.specs.train import Lora, TrainSpec
from fastvideo_engine.training.lora import adapter_weights, save_adapter


@dataclass(frozen=True)
class Trained:
    """What a run trains: the adapters in a transformer of a family, and the optimizer that moves them."""

    family: Family
    transformer: WanTransformer3DModel
    adamw: torch.optim.AdamW


def save(folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec) -> dict[str, Any]:
    """Write the checkpoint of a step, then forget all but the newest; return the facts of its adapter."""
    try:
        facts = _write(folder, step, loss, trained, spec)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
        reason = str(error).splitlines()[0].rstrip(".")
        raise StorageError(
            f"The checkpoint of step {step} cannot be written to {folder.checkpoints} ({reason}); "
            "make room and continue the run, which goes on from the checkpoint before."
        ) from None
    for stale in folder.complete_checkpoints()[: -spec.saving.keep]:
        forget_folder(stale.path)
    return facts


def resume(folder: RunFolder, trained: Trained, spec: TrainSpec) -> int:
    """Put the newest checkpoint's adapters and optimizer back and return its step; 0 when there is none."""
    newest = folder.newest_checkpoint()
    if newest is None:
        return 0
    state = _read_state(newest)
    _check_same_adapters(Lora.model_validate(state["tuning"]), spec.tuning)
    with torch.no_grad():
        for name, weight in adapter_weights(trained.transformer).items():
            weight.copy_(state["adapter"][name])
    trained.adamw.load_state_dict(state["optimizer"])
    return newest.step


def final_loss(checkpoint: Checkpoint) -> float:
    """Return the loss of the step that a checkpoint was written after."""
    return float(json.loads(checkpoint.completion.read_text())["loss"])


def _write(folder: RunFolder, step: int, loss: float, trained: Trained, spec: TrainSpec) -> dict[str, Any]:
    final = folder.checkpoint(step)
    beside = Checkpoint(final.path.with_name(f".{final.path.name}.part"))
    shutil.rmtree(beside.path, ignore_errors=True)  # of a run that was killed while it wrote
    beside.path.mkdir(parents=True)
    weights = adapter_weights(trained.transformer)
    facts = {"rank": spec.tuning.rank, "alpha": spec.tuning.alpha, "layers": len(weights) // 2}
    save_adapter(trained.transformer, beside.adapter, trained.family, {**facts, "model": spec.model, "step": step})
    state = {
        "step": step,
        "tuning": spec.tuning.model_dump(),
        "adapter": {name: weight.detach() for name, weight in weights.items()},
        "optimizer": trained.adamw.state_dict(),
    }
    torch.save(state, beside.training_state)
    write_whole(beside.completion, json.dumps({"step": step, "loss": loss}))
    forget_folder(final.path)
    beside.path.replace(final.path)
    return facts


def _read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(checkpoint.training_state, map_location="cpu", weights_only=True)
        return state
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise StorageError(
            f"{checkpoint.training_state} cannot be read ({reason}); "
            f"remove {checkpoint.path} to continue from the checkpoint before."
        ) from None


def _check_same_adapters(before: Lora, now: Lora) -> None:
    if before != now:
        raise SpecError(
            f"This run was begun with rank {before.rank} and alpha {before.alpha:g} "
            f"and cannot go on with rank {now.rank} and alpha {now.alpha:g}; start a new run for that."
        )
