"""What a run resumes from: in one file, or of sharded weights written by all processes and read by any number (DCP)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import StorageError
from fastvideo_engine.run_folder import Checkpoint
from fastvideo_engine.training.sharding import shard_of
from fastvideo_engine.training.trained import Trained

_IN_SHARDS = "sharded"
Read = TypeVar("Read")


def write_state(
    checkpoint: Checkpoint, facts: Mapping[str, Any], names: Sequence[str], trained: Trained, ranks: Ranks
) -> None:
    """Write facts, the optimizer and of what is trained the parts of some names."""
    tensors: dict[str, Any] = {name: _detached(trained.kept[name]) for name in names}
    if any(isinstance(weight, DTensor) for weight in trained.weights.values()):
        tensors["optimizer"] = get_optimizer_state_dict(trained.transformers, trained.adamw)
        save(tensors, checkpoint_id=checkpoint.training_shards)
        tensors = {_IN_SHARDS: [*names]}
    else:
        tensors["optimizer"] = trained.adamw.state_dict()
    if ranks.is_first:
        torch.save({**facts, **tensors}, checkpoint.training_state)


def read_state(checkpoint: Checkpoint, state: Mapping[str, Any], trained: Trained) -> list[Mapping[str, Tensor]]:
    """Put the optimizer and what is trained back, however it is sharded now; return the parts that are not stored."""
    stored = [name for name in trained.kept if name in state.get(_IN_SHARDS, state)]
    if _IN_SHARDS in state:
        read_stored(checkpoint.training_shards, lambda folder: _read_shards(folder, stored, trained))
    else:
        for name in stored:
            put_back(trained.kept[name], state[name])
        trained.adamw.load_state_dict(_laid_out(state["optimizer"], trained.adamw))
    return [weights for name, weights in trained.kept.items() if name not in stored]


@torch.no_grad()
def put_back(into: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy weights, whole or sharded as those are that they go into."""
    for name, weight in into.items():
        found = weights[name]
        weight.copy_(found if isinstance(found, DTensor) else shard_of(found, weight))


def read_stored(path: Path, read: Callable[[Path], Read]) -> Read:
    """Read a part of a checkpoint; raise `StorageError` where it is damaged."""
    try:
        return read(path)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, CheckpointException) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise StorageError(
            f"{path} cannot be read ({reason}); remove {path.parent} to continue from the checkpoint before."
        ) from None


def _read_shards(folder: Path, names: Sequence[str], trained: Trained) -> None:
    # The optimizer's state must be there to be read into; here it gets one of zeros.
    optimizer = get_optimizer_state_dict(trained.transformers, trained.adamw)
    tensors = {**{name: _detached(trained.kept[name]) for name in names}, "optimizer": optimizer}
    load(tensors, checkpoint_id=folder)  # in place
    set_optimizer_state_dict(trained.transformers, trained.adamw, optimizer)


def _laid_out(stored: dict[str, Any], adamw: torch.optim.Optimizer) -> dict[str, Any]:
    """Shard the moments of an optimizer's whole state as the weights are that they belong to."""
    weights = [weight for group in adamw.param_groups for weight in group["params"]]
    moments = {
        number: {name: shard_of(each, weights[number]) if each.ndim else each for name, each in of_weight.items()}
        for number, of_weight in stored["state"].items()
    }
    return {**stored, "state": moments}


def _detached(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in weights.items()}
