"""Exact attention to the chosen tiles in plain torch: the path without a GPU, and what every faster path must equal."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from fastvideo_engine.attention.tiles import TOKENS, Tiling

_MOST_GATHERED_BYTES = 2**27


def attend_by_gathering(query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, tiling: Tiling) -> Tensor:
    """Attend from each tile of BHPD to the tokens of its chosen tiles BHNK, some tiles at a time."""
    parts = -(-_gathered_bytes(key, chosen) // _MOST_GATHERED_BYTES)
    at_once = -(-tiling.tiles // parts)
    answers = []
    for some, theirs in zip(torch.split(query, at_once * TOKENS, 2), torch.split(chosen, at_once, 2), strict=True):
        arguments = (some, key, value, theirs, tiling)
        # Gathered again in the backward pass: kept, all parts would be there at once.
        answer = checkpoint(_attend, *arguments, use_reentrant=False) if parts > 1 else _attend(*arguments)
        answers.append(answer)
    return torch.cat(answers, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, chosen: Tensor, tiling: Tiling) -> Tensor:
    batch, heads, _, width = query.shape
    tiles, kept = chosen.shape[2:]
    # SDPA's fast kernels take four dimensions: each query tile of each head becomes a batch of its own.
    queries = query.reshape(batch * heads * tiles, 1, TOKENS, width)
    keys, values = (_gathered(folded, chosen).view(-1, 1, kept * TOKENS, width) for folded in (key, value))
    answer = scaled_dot_product_attention(queries, keys, values, attn_mask=_tokens_there(chosen, tiling))
    return answer.view(batch, heads, tiles * TOKENS, width)


def _gathered(folded: Tensor, chosen: Tensor) -> Tensor:
    batch, heads = chosen.shape[:2]
    count = folded.shape[2] // TOKENS
    starts = torch.arange(batch * heads, device=chosen.device).view(batch, heads, 1, 1) * count
    return folded.reshape(batch * heads * count, -1).index_select(0, (chosen + starts).flatten())


def _tokens_there(chosen: Tensor, tiling: Tiling) -> Tensor | None:
    if not tiling.ragged:
        return None
    there = torch.arange(TOKENS, device=chosen.device) < tiling.sizes[chosen].unsqueeze(-1)
    return there.flatten(0, 2).flatten(1)[:, None, None, :]


def _gathered_bytes(key: Tensor, chosen: Tensor) -> int:
    return 2 * chosen.numel() * TOKENS * key.shape[-1] * key.element_size()
