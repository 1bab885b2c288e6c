"""Cross-attention that computes the padding of the text once: the same numbers for a fraction of a small model's work.

Wan attends to 512 rows of text without a mask, most of them zeros (its captions have some twenty tokens). Equal rows
have equal keys and values, so n of them weigh as much as one whose score is higher by ln n. Of a large model that is a
percent of the step; of a model with fewer video tokens than text tokens it is half.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor, nn

_TEXT = "encoder_hidden_states"
_TEXT_POSITION = 2


@dataclass
class _Padding:
    """What the forward pass in hand knows of its text: how many rows are left, and a score to add to each, B11L."""

    rows: int = 0
    score: Tensor | None = None


def attend_to_padding_once(transformer: WanTransformer3DModel) -> None:
    """Change a transformer so; whatever calls it, pipelines as well, goes on passing text BLD padded with zeros.

    Meant for the CPU: to know how much is padding costs a GPU a halt, and a mask the fastest kernels.
    """
    padding = _Padding()
    transformer.register_forward_pre_hook(
        lambda _model, given, named: _with_short_text(given, named, padding), with_kwargs=True
    )
    for block in transformer.blocks:
        block.attn2.set_processor(_TextAttention(padding))


def _with_short_text(
    given: Sequence[Any], named: Mapping[str, Any], padding: _Padding
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Shorten the text among a forward call's arguments, by position or by name."""
    if _TEXT in named:
        return tuple(given), {**named, _TEXT: _shortened(named[_TEXT], padding)}
    before, text, after = given[:_TEXT_POSITION], given[_TEXT_POSITION], given[_TEXT_POSITION + 1 :]
    return (*before, _shortened(text, padding), *after), dict(named)


def _shortened(text: Tensor, padding: _Padding) -> Tensor:
    """Cut text BLD after its longest caption and one row of zeros, and note how many rows that one stands for."""
    length = text.shape[1]
    numbers = torch.arange(1, length + 1, device=text.device)
    kept = ((text != 0).any(dim=-1) * numbers).amax(dim=1, keepdim=True)  # rows of each caption, B1
    padding.rows = min(length, int(kept.max()) + 1)
    row = numbers[: padding.rows] - 1
    of_padding = torch.where(kept < length, (length - kept).double().log(), -math.inf)
    score = torch.where(row < kept, 0.0, torch.where(row == kept, of_padding, -math.inf))
    padding.score = score[:, None, None, :]
    return text[:, : padding.rows]


class _TextAttention:
    """Wan's cross-attention to text and, where there are any, to the features of an image before it."""

    def __init__(self, padding: _Padding) -> None:
        self._padding = padding

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        _mask: None = None,
        _rotary: None = None,
    ) -> Tensor:
        """Attend from video BLD to text (after image features) BLD."""
        image, text = torch.split(
            encoder_hidden_states, [encoder_hidden_states.shape[1] - self._padding.rows, self._padding.rows], dim=1
        )
        query = _heads(attn.norm_q(attn.to_q(hidden_states)), attn.heads)
        key, value = _heads(attn.norm_k(attn.to_k(text)), attn.heads), _heads(attn.to_v(text), attn.heads)
        assert self._padding.score is not None, "the transformer's own forward comes first"
        seen = nn.functional.scaled_dot_product_attention(query, key, value, self._padding.score.to(query.dtype))
        if attn.add_k_proj is not None and image.shape[1]:
            key = _heads(attn.norm_added_k(attn.add_k_proj(image)), attn.heads)
            value = _heads(attn.add_v_proj(image), attn.heads)
            seen = seen + nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = attn.to_out[0](seen.transpose(1, 2).flatten(2))
        return out


def _heads(rows: Tensor, heads: int) -> Tensor:
    return rows.view(*rows.shape[:2], heads, rows.shape[2] // heads).transpose(1, 2)
