"""Exact attention to the chosen tiles on FlexAttention's block masks (Dong et al., 2024, arXiv:2412.05496)."""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fastvideo_engine.attention.tiles import TOKENS, Tiling

_SHAPES = 64
"""Of grid and batch, for which kernels are compiled; a run with buckets has some of them, with and without gradient."""


def attend_by_flex(query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, tiling: Tiling) -> Tensor:
    """Attend from each tile of BHPD to the tokens of its chosen tiles BHNK."""
    # All of one shape, however many are chosen: the kernels are compiled once and serve the whole rise of sparsity.
    picked = torch.zeros(*chosen.shape[:3], tiling.tiles, dtype=torch.bool, device=chosen.device)
    torch._dynamo.config.recompile_limit = max(_SHAPES, torch._dynamo.config.recompile_limit)
    return _compiled(query, key, value, picked.scatter_(3, chosen, True), tiling.sizes)


def _attend(query: Tensor, key: Tensor, value: Tensor, picked: Tensor, sizes: Tensor) -> Tensor:
    def token_is_there(batch: Tensor, head: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
        # Compiled, only ragged tiles come here, and all of them picked; not compiled, all tokens do.
        tile = asked // TOKENS
        return picked[batch, head, asking // TOKENS, tile] & (asked % TOKENS < sizes[tile])

    whole = sizes == TOKENS
    mask = BlockMask.from_kv_blocks(
        *_listed(picked & ~whole), *_listed(picked & whole), BLOCK_SIZE=TOKENS, mask_mod=token_is_there
    )
    answer = flex_attention(query, key, value, block_mask=mask)
    assert isinstance(answer, Tensor)
    return answer


def _listed(picked: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many tiles each row picks, and the row's tile numbers, picked ones first."""
    numbers = picked.int().argsort(dim=-1, descending=True, stable=True)
    return picked.sum(dim=-1, dtype=torch.int32), numbers.int()


# Compiled always: uncompiled, flex_attention computes all scores. Autotuned, since the blocks that it takes unasked on
# Hopper are larger than our tiles, and in the backward pass nothing else makes it choose others.
_compiled = torch.compile(_attend, fullgraph=True, dynamic=False, options={"max_autotune": True})
