"""Variants of training that take turns: each proven to compute what the plain one does, then timed among the others."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fastvideo_engine.attention.wan import set_sparsity, sparsity_of
from fastvideo_engine.bench.clock import now
from fastvideo_engine.bench.gate import Gate, Learnt, compared, first_step
from fastvideo_engine.bench.learners import Learner
from fastvideo_engine.bench.random_wan import open_adapters
from fastvideo_engine.bench.variants import Variant
from fastvideo_engine.bench.watched import Watched, watched_step
from fastvideo_engine.components import weights_dtype
from fastvideo_engine.training.flow_matching import Batch

_STEPS_A_TURN = 3
_CPU = torch.device("cpu")

Spent = dict[str, list[list[float]]]
"""By variant, in each round the seconds of each step."""


@dataclass(frozen=True)
class Entry:
    """A variant that is ready to be timed, in the CPU's memory until its turn."""

    variant: Variant
    learner: Learner
    gate: Gate
    problem: str | None
    """Why its times would mean nothing."""
    watched: Watched


def entered(listed: Iterable[Variant], model: Path, batch: Batch, device: torch.device) -> Iterator[Entry]:
    """Make variants, the plain one first, and compare each with it before any weight moves."""
    plain: Learnt | None = None
    for variant in listed:
        learner = variant.make(model, device)
        open_adapters(learner.transformer)
        learnt = _dense_first_step(learner, batch)
        plain = plain or learnt
        gate = compared(learnt, plain)
        print(f"{variant.name}: {gate}", flush=True)
        watched = watched_step(learner, batch, device)
        learner.move(_CPU)
        yield Entry(variant, learner, gate, gate.problem(weights_dtype(device)), watched)


def take_turns(entries: Sequence[Entry], batch: Batch, device: torch.device, rounds: int) -> Spent:
    """Time steps of all variants in rounds of random order, so that what changes meanwhile changes for all."""
    spent: Spent = {entry.variant.name: [] for entry in entries}
    order = random.Random(7)
    for number in range(rounds):
        for entry in order.sample(entries, len(entries)):
            spent[entry.variant.name].append(_turn(entry.learner, batch, device))
        print(f"Round {number + 1} of {rounds} is done", flush=True)
    return spent


def _turn(learner: Learner, batch: Batch, device: torch.device) -> list[float]:
    learner.move(device)
    learner.step(batch)  # what the caches hold is of the variant before
    seconds = []
    for _ in range(_STEPS_A_TURN):
        began = now(device)
        learner.step(batch)
        seconds.append(now(device) - began)
    learner.move(_CPU)
    return seconds


def _dense_first_step(learner: Learner, batch: Batch) -> Learnt:
    """Sparse attention computes what dense does where it passes nothing over; dense attention stays as it is."""
    sparsity = sparsity_of(learner.transformer) or 0.0
    set_sparsity(learner.transformer, 0.0)
    learnt = first_step(learner, batch)
    set_sparsity(learner.transformer, sparsity)
    return learnt
