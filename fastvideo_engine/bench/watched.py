"""One training step under watch: the most memory it needs, and the kernels that attend."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from fastvideo_engine.attention.wan import way_of
from fastvideo_engine.bench.learners import Learner
from fastvideo_engine.training.flow_matching import Batch

_KERNEL = "aten::_scaled_dot_product_"


@dataclass(frozen=True)
class Watched:
    """What a step showed of itself."""

    peak_bytes: int
    """Of weights, gradients, the optimizer's state and what the step keeps or passes on."""
    attention: str


def watched_step(learner: Learner, batch: Batch, device: torch.device) -> Watched:
    """Take a step that is not timed, after one that fills the optimizer's state."""
    learner.step(batch)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own, which would tell of its start and stop
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=not on_gpu) as seen:
        learner.step(batch)
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else _held(learner) + _most_allocated(seen)
    return Watched(peak, ", ".join(sorted({*_kernels(seen), *_ways(learner)})))


def _held(learner: Learner) -> int:
    states = learner.adamw.state.values()
    tensors = [*learner.transformer.parameters(), *(value for state in states for value in state.values())]
    return sum(tensor.nbytes for tensor in tensors)


def _most_allocated(seen: profile) -> int:
    """Return the most bytes that were taken at one time and not yet given back."""
    # Of the process's own memory no use can be told: the other variants live in it, and freed memory stays with it.
    recorded: Any = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in recorded if event.name() == "[memory]")
    taken = most = 0
    for _, change in changes:
        taken += change
        most = max(most, taken)
    return most


def _kernels(seen: profile) -> Iterator[str]:
    names = (event.key for event in seen.key_averages())
    found = (name.removeprefix(_KERNEL) for name in names if name.startswith(_KERNEL) and "backward" not in name)
    return (name.removesuffix("_for_cpu").removesuffix("_attention") for name in found)


def _ways(learner: Learner) -> Iterator[str]:
    way = way_of(learner.transformer)
    if way is not None:
        yield way.name
