"""Exact attention to the chosen tiles on FastVideo's own kernels, where its package fastvideo-kernel is installed."""

import importlib
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from fastvideo_engine.attention.tiles import Tiling

_PACKAGE = "fastvideo_kernel"


def attend_by_kernel(query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, tiling: Tiling) -> Tensor:
    """Attend from each tile of BHPD to the tokens of its chosen tiles BHNK."""
    counts = torch.full(chosen.shape[:3], chosen.shape[3], dtype=torch.int32, device=chosen.device)
    attend = _package().block_sparse_attn_from_indices
    answer: Tensor = attend(query, key, value, chosen.int(), counts, tiling.sizes)[0]
    return answer


def _package() -> ModuleType:
    # Not at the top: it is nobody's requirement, and it loads libraries of a GPU's, which only such a machine has.
    if find_spec(_PACKAGE) is None:
        raise ImportError("the package fastvideo-kernel is not installed")
    return importlib.import_module(_PACKAGE)
