"""Which way of attending to chosen tiles this machine can take: the fastest that gives the reference's answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.attention.flex import attend_by_flex
from fastvideo_engine.attention.gathering import attend_by_gathering
from fastvideo_engine.attention.kernel import attend_by_kernel
from fastvideo_engine.attention.tiles import TOKENS, Tiling, fold, tiling_of

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tiling], Tensor]
"""From query, key and value BHPD, the chosen tiles BHNK and the tiling to the answers BHPD."""

FAST: dict[str, Attend] = {"fastvideo-kernel": attend_by_kernel, "compiled FlexAttention": attend_by_flex}
"""Ways that need a GPU, the fastest first."""

_GRID = (5, 8, 6)  # with whole tiles and ragged ones
_KEPT = 3
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 1e-2}
"""Of the difference's norm to the reference's. float32 leaves room for TF32, which the kernels may use."""


@dataclass(frozen=True)
class Way:
    """A way of attending to chosen tiles, and what the user should know of how it was found."""

    name: str
    attend: Attend
    passed_over: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        why = f" ({'; '.join(self.passed_over)})" if self.passed_over else ""
        return f"Sparse attention runs on {self.name}{why}."


def fastest_way(device: torch.device, dtype: torch.dtype, head_width: int) -> Way:
    """Choose the first of the fast ways that equals the reference, forward and backward; else the reference."""
    passed_over: list[str] = []
    if device.type == "cuda":
        for name, attend in FAST.items():
            problem = problem_of(attend, device, dtype, head_width)
            if problem is None:
                return Way(name, attend, tuple(passed_over))
            passed_over.append(f"not on {name}: {problem}")
    return Way("plain PyTorch", attend_by_gathering, tuple(passed_over))


def problem_of(attend: Attend, device: torch.device, dtype: torch.dtype, head_width: int) -> str | None:
    """Say why a way cannot be taken here; None when its answers and gradients are the reference's."""
    generator = torch.Generator().manual_seed(5)
    tiling = tiling_of(_GRID, device)
    shape = (1, _GRID[0] * _GRID[1] * _GRID[2], 2, head_width)
    tokens = [torch.randn(shape, generator=generator).to(device, dtype) for _ in range(4)]
    chosen = torch.rand(1, 2, tiling.tiles, tiling.tiles, generator=generator).topk(_KEPT).indices.to(device)
    try:
        theirs = _answers(attend, tokens, chosen, tiling)
    except Exception as error:  # a compiler's or another package's own: whatever it is, slower ways are right
        return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    ours = _answers(attend_by_gathering, [each.float() for each in tokens], chosen, tiling)
    worst = max(relative_difference(one, other) for one, other in zip(theirs, ours, strict=True))
    return None if worst <= TOLERANCES[dtype] else f"its answers differ by {worst:.2g} from the reference's"


def relative_difference(answer: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference in units of the reference's; infinite where the answer is no number."""
    difference = ((answer.float() - reference.float()).norm() / reference.float().norm()).item()
    return difference if difference == difference else float("inf")


def _answers(attend: Attend, tokens: Sequence[Tensor], chosen: Tensor, tiling: Tiling) -> list[Tensor]:
    """Return the answer at real tokens, and the gradients of query, key and value."""
    *leaves, weights = tokens
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    query, key, value = (fold(leaf, tiling) for leaf in leaves)
    answer = attend(query, key, value, chosen, tiling)
    # What stands in the empty places of ragged tiles is nobody's concern.
    there = torch.arange(TOKENS, device=chosen.device) < tiling.sizes[:, None]
    answer = answer * there.flatten()[:, None]
    gradients = torch.autograd.grad((answer * fold(weights, tiling)).sum(), leaves)
    return [answer.detach(), *gradients]
