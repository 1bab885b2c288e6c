"""The ways of training that are measured, and what each has to compute."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fastvideo_engine.bench.learners import Learner, ours, plain
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.specs.train import Full, Lora, TrainSpec, Vsa
from fastvideo_engine.training.costs import Workload

TUNINGS = {"lora": Lora(), "full": Full()}


@dataclass(frozen=True)
class Variant:
    """One way to train: how it is made, what a step of it computes, and the plain way that it is compared with."""

    name: str
    plain: str
    make: Callable[[Path, torch.device], Learner]
    work: Workload


def variants(method: str, grid: tuple[int, int, int], caption: int, device: torch.device) -> Iterator[Variant]:
    """List the ways to train by one method on one device, the plain one first."""
    tuning, on_cpu = TUNINGS[method], device.type == "cpu"
    rank = tuning.rank if isinstance(tuning, Lora) else None
    all_rows = Workload(grid, WAN.text_length, rank)
    padding_once = Workload(grid, min(WAN.text_length, caption + 1), rank)
    base, mine = f"plain {method}", f"ours {method}"
    yield Variant(base, base, partial(_made, plain, tuning=tuning), all_rows)
    if on_cpu:
        yield Variant(
            f"{base}, padding once",
            base,
            partial(_made, partial(plain, padding_once=True), tuning=tuning),
            padding_once,
        )
    yield Variant(mine, base, partial(_made, ours, tuning=tuning), padding_once if on_cpu else all_rows)
    if not on_cpu:  # there the sparse attention is a reference, made to be right
        vsa = Vsa()
        work = Workload(grid, WAN.text_length, rank, vsa.sparsity)
        yield Variant(f"{mine}, vsa {vsa.sparsity}", base, partial(_made, ours, tuning=tuning, attention=vsa), work)


def _made(how: Callable[..., Learner], model: Path, device: torch.device, **settings: Any) -> Learner:
    # The batch is drawn by the bench: there is no Parquet.
    return how(model, TrainSpec(model=str(model), parquet="none", **settings), device)
