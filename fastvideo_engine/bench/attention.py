"""Measure sparse attention against dense attention, at a real model's size on a GPU and at a toy's on a CPU."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fastvideo_engine.attention.fastest import FAST, TOLERANCES, Attend, problem_of, relative_difference
from fastvideo_engine.attention.gathering import attend_by_gathering
from fastvideo_engine.attention.sparse import sparse_attention
from fastvideo_engine.attention.tiles import tiling_of
from fastvideo_engine.bench.clock import now
from fastvideo_engine.bench.report import machine, print_table
from fastvideo_engine.run_folder import write_whole

SPARSITIES = (0.8, 0.9)
_WARM_UPS = 2
_CALLS_A_TURN = 3


@dataclass(frozen=True)
class Shape:
    """What is attended to: one clip's grid of tokens, in so many heads of such a width."""

    grid: tuple[int, int, int]
    heads: int
    width: int
    dtype: torch.dtype

    def tokens(self, device: torch.device) -> list[Tensor]:
        """Draw query, key, value and gate BSHD, and the gradient of the answer."""
        generator = torch.Generator().manual_seed(3)
        size = (1, self.grid[0] * self.grid[1] * self.grid[2], self.heads, self.width)
        return [torch.randn(size, generator=generator).to(device, self.dtype) for _ in range(5)]


WAN_1_3B = Shape((20, 30, 52), 12, 128, torch.bfloat16)  # 77 frames of 832x480
TOY = Shape((6, 8, 12), 2, 32, torch.float32)

Compute = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds of one way to attend; how many times faster than dense attention it is, both ways."""

    way: str
    forward_ms: float
    both_ms: float
    times_dense_forward: float
    times_dense_both: float
    peak_gib: float | None


def run(rounds: int, out: Path | None) -> None:
    """Time all ways that give the reference's answers and gradients, in rounds of random order; print, write JSON."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = WAN_1_3B if device.type == "cuda" else TOY
    ways = {"plain PyTorch": attend_by_gathering, **(FAST if device.type == "cuda" else {})}
    cases = {"dense": _dense, **dict(passing(ways, shape, device))}
    spent = _take_turns(cases, shape.tokens(device), device, rounds)
    figures = [_summed_up(name, spent) for name in cases]
    print_table([asdict(each) for each in figures])
    if out is not None:
        measured = {"shape": asdict(shape) | {"dtype": str(shape.dtype)}, "machine": machine(), "rounds": rounds}
        write_whole(out, json.dumps({**measured, "attention": [asdict(each) for each in figures]}, indent=1))


def passing(ways: dict[str, Attend], shape: Shape, device: torch.device) -> Iterator[tuple[str, Compute]]:
    """Give each way at each sparsity that computes what the reference does; say of the others why they are left out."""
    for name, attend in ways.items():
        problem = problem_of(attend, device, shape.dtype, shape.width)
        if problem is not None:
            print(f"{name} is left out: {problem}", flush=True)
            continue
        for sparsity in SPARSITIES:
            compute = partial(_sparse, shape=shape, sparsity=sparsity, attend=attend)
            difference = _difference(compute, shape, sparsity, device)
            said = f"{name} at sparsity {sparsity}"
            if difference > TOLERANCES[shape.dtype]:
                print(f"{said} is left out: it differs by {difference:.2g} from the reference", flush=True)
                continue
            print(f"{said} differs by {difference:.2g} from the reference", flush=True)
            yield f"{name}, {sparsity}", compute


def _dense(query: Tensor, key: Tensor, value: Tensor, _gate: Tensor) -> Tensor:
    answer = scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return answer.transpose(1, 2)


def _sparse(
    query: Tensor, key: Tensor, value: Tensor, gate: Tensor, shape: Shape, sparsity: float, attend: Attend
) -> Tensor:
    return sparse_attention(query, key, value, gate, tiling_of(shape.grid, query.device), sparsity, attend)


def _difference(compute: Compute, shape: Shape, sparsity: float, device: torch.device) -> float:
    """Return how far answer and gradients are from the reference's, whose tiles are chosen from the same scores."""
    reference = partial(_sparse, shape=shape, sparsity=sparsity, attend=attend_by_gathering)
    ours, theirs = (_both(each, shape.tokens(device)) for each in (compute, reference))
    return max(relative_difference(one, other) for one, other in zip(ours, theirs, strict=True))


def _both(compute: Compute, tokens: Sequence[Tensor]) -> list[Tensor]:
    *inputs, upstream = tokens
    leaves = [each.detach().requires_grad_() for each in inputs]
    answer = compute(*leaves)
    # Dense attention has no gate, whose gradient it therefore lacks.
    gradients = torch.autograd.grad(answer, leaves, upstream, allow_unused=True)
    return [answer.detach(), *(gradient for gradient in gradients if gradient is not None)]


@torch.no_grad()
def _forward(compute: Compute, tokens: Sequence[Tensor]) -> None:
    compute(*tokens[:4])


@dataclass(frozen=True)
class _Turn:
    """What one way took in one round: seconds of a forward pass and of both passes, and GiB at the most."""

    forward: float
    both: float
    peak_gib: float | None


Spent = dict[str, list[_Turn]]


def _take_turns(cases: dict[str, Compute], tokens: Sequence[Tensor], device: torch.device, rounds: int) -> Spent:
    spent: Spent = {name: [] for name in cases}
    order = random.Random(7)
    for _ in range(rounds):
        for name in order.sample(list(cases), len(cases)):
            compute = cases[name]
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            forward = _seconds(partial(_forward, compute, tokens), device)
            both = _seconds(partial(_both, compute, tokens), device)
            peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
            spent[name].append(_Turn(forward, both, peak))
    return spent


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    for _ in range(_WARM_UPS):
        call()
    began = now(device)
    for _ in range(_CALLS_A_TURN):
        call()
    return (now(device) - began) / _CALLS_A_TURN


def _summed_up(name: str, spent: Spent) -> Figures:
    turns = spent[name]
    paired = list(zip(turns, spent["dense"], strict=True))
    return Figures(
        way=name,
        forward_ms=median(turn.forward for turn in turns) * 1e3,
        both_ms=median(turn.both for turn in turns) * 1e3,
        times_dense_forward=median(dense.forward / turn.forward for turn, dense in paired),
        times_dense_both=median(dense.both / turn.both for turn, dense in paired),
        peak_gib=max((turn.peak_gib for turn in turns if turn.peak_gib is not None), default=None),
    )
