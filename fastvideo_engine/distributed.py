"""The processes of one job, and how they agree: one process is an ordinary case of many."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.tensor import DTensor

# Of one process for another: they sample videos of the same length side by side, but one alone writes checkpoints.
_LONGEST_WAIT = timedelta(hours=1)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the job; every call below is made by all of them in the same order."""

    rank: int
    world_size: int
    device: torch.device
    sharing: int = 1
    """So many neighbours read the same clips and compute a part of each."""

    @property
    def reader(self) -> int:
        """Return the number of this process or its group of neighbours among those that read clips of their own."""
        return self.rank // self.sharing

    @property
    def readers(self) -> int:
        return self.world_size // self.sharing

    @property
    def speaks_for_its_clip(self) -> bool:
        """Of neighbours that compute the same, the first does what must be done once."""
        return self.rank % self.sharing == 0

    @property
    def is_first(self) -> bool:
        """The first process is the one that writes events, checkpoints and samples."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            dist.barrier()

    def agree(self, flag: bool) -> bool:
        """Return the first process's answer in every process, so that none stops alone."""
        if self.world_size == 1:
            return flag
        answer = torch.tensor(int(flag), device=self.device)
        dist.broadcast(answer, src=0)
        return bool(answer.item())

    def value_of_first(self, value: Value) -> Value:
        """Return the first process's value in every process."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def total(self, count: int) -> int:
        """Return the sum of a count over the processes."""
        return round(self.average(torch.tensor(float(count), device=self.device)).item() * self.world_size)

    def average(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.world_size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world_size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        # Where weights are sharded, the backward pass has done it.
        gradients = [each.grad for each in parameters if each.grad is not None and not isinstance(each, DTensor)]
        if self.world_size == 1 or not gradients:
            return
        # One message: an adapter has hundreds of small matrices, and each message costs a round trip.
        averaged = self.average(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(averaged, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def meet(self) -> None:
        """Form a group of one where there is none yet: sharding takes a group even where nobody else is."""
        if not dist.is_initialized():
            dist.init_process_group(_backend(self.device), store=HashStore(), rank=0, world_size=1)

    def leave(self) -> None:
        """End the talk between the processes."""
        if dist.is_initialized():
            dist.destroy_process_group()


def whole(weight: Tensor) -> Tensor:
    """Return all of a weight; where it is sharded, all processes ask for it together."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def join_processes() -> Ranks:
    """Join the processes that torchrun started, or be the only one; each takes its own GPU where there are GPUs."""
    rank = int(os.environ.get("RANK", 0))
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    device = _own_device(int(os.environ.get("LOCAL_RANK", 0)))
    if world_size > 1:
        dist.init_process_group(_backend(device), rank=rank, world_size=world_size, timeout=_LONGEST_WAIT)
    return Ranks(rank, world_size, device)


def _backend(device: torch.device) -> str:
    # Both with GPUs: weights that are kept in main memory are reduced there.
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def _own_device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device
