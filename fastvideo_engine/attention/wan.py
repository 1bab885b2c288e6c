"""Sparse attention in diffusers' Wan transformer, in place of the self-attention of every block."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from fastvideo_engine.attention.fastest import Way
from fastvideo_engine.attention.sparse import sparse_attention
from fastvideo_engine.attention.tiles import tiling_of
from fastvideo_engine.attention.ulysses import Sharing

GATE = "to_gate_compress"
"""FastVideo's name of a block's gate, `blocks.N.to_gate_compress`, which is also where it is."""


class Gate(nn.Linear):
    """The weight of the blurred look, token by token: linear, zero at first, in float32 whatever it computes in."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__(width, width, device=device, dtype=torch.float32)

    def reset_parameters(self) -> None:
        """Begin as no change to the model."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))


def add_sparse_attention(transformer: WanTransformer3DModel, way: Way) -> None:
    """Replace the self-attention of all blocks and give each a gate; text is attended to as before.

    Until its sparsity is set or a gate opens, the transformer computes what it did.
    """
    for block in transformer.blocks:
        gate = Gate(block.attn1.inner_dim, block.attn1.to_q.weight.device)
        setattr(block, GATE, gate)
        block.attn1.set_processor(_SparseProcessor(gate, way))
    transformer.rope.register_forward_hook(_with_tiling)


def share_attention(transformer: WanTransformer3DModel, sharing: Sharing) -> None:
    """Let the self-attention of all blocks, sparse or dense, be given a part of the tokens, and compute some heads."""
    for block in transformer.blocks:
        processor = block.attn1.processor
        if isinstance(processor, _SparseProcessor):
            processor.sharing = sharing
        else:
            block.attn1.set_processor(_SharedProcessor(sharing))


def set_sparsity(transformer: nn.Module, sparsity: float) -> None:
    """Let each tile pass over this share of the tiles from now on; where attention is dense, it stays so."""
    for processor in _sparse_processors(transformer):
        processor.sparsity = sparsity


def sparsity_of(transformer: nn.Module) -> float | None:
    """Return the share of tiles that is passed over now; None where attention is dense."""
    return next((processor.sparsity for processor in _sparse_processors(transformer)), None)


def way_of(transformer: nn.Module) -> Way | None:
    """Return how the transformer attends to chosen tiles; None where attention is dense."""
    return next((processor.way for processor in _sparse_processors(transformer)), None)


def _sparse_processors(transformer: nn.Module) -> Iterator["_SparseProcessor"]:
    processors = (getattr(module, "processor", None) for module in transformer.modules())
    return (processor for processor in processors if isinstance(processor, _SparseProcessor))


class _SparseProcessor:
    """Self-attention as diffusers' WanAttnProcessor has it, but sparse."""

    _attention_backend: Any = None  # diffusers sets these on every processor
    _parallel_config: Any = None

    def __init__(self, gate: Gate, way: Way) -> None:
        self._gate = gate
        self.way = way
        self.sparsity = 0.0
        self.sharing: Sharing | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        _text: Tensor | None,
        _mask: Tensor | None,
        rotary_emb: tuple[Any, ...],
    ) -> Tensor:
        cosines, sines, tiling = rotary_emb
        query, key, value = _projected(attn, hidden_states, cosines, sines)
        gate = self._gate(hidden_states).unflatten(2, (attn.heads, -1))
        attend = partial(sparse_attention, tiling=tiling, sparsity=self.sparsity, attend=self.way.attend)
        if self.sharing is None:
            return _out(attn, attend(query, key, value, gate), query)
        parts = (part.type_as(value) for part in (query, key, value, gate))
        return _out(attn, self.sharing.over_heads(attend, *parts), query)


class _SharedProcessor:
    """Self-attention as diffusers' WanAttnProcessor has it, of a part of the tokens."""

    _attention_backend: Any = None
    _parallel_config: Any = None

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        _text: Tensor | None,
        _mask: Tensor | None,
        rotary_emb: tuple[Tensor, Tensor],
    ) -> Tensor:
        query, key, value = _projected(attn, hidden_states, *rotary_emb)
        # As autocast would have it, but before they travel: under it norms leave query and key in float32.
        parts = (part.type_as(value) for part in (query, key, value))
        return _out(attn, self._sharing.over_heads(dispatch_attention_fn, *parts), query)


def _projected(attn: Any, tokens: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value BSHD of tokens BSD, the first two normed and turned by their places."""
    query, key = (
        _rotated(norm(project(tokens)).unflatten(2, (attn.heads, -1)), cosines, sines)
        for project, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k))
    )
    return query, key, attn.to_v(tokens).unflatten(2, (attn.heads, -1))


def _out(attn: Any, answer: Tensor, query: Tensor) -> Tensor:
    project, dropout = attn.to_out
    projected: Tensor = dropout(project(answer.flatten(2, 3).type_as(query)))
    return projected


def _with_tiling(rope: Any, arguments: tuple[Tensor], angles: tuple[Tensor, ...]) -> tuple[Any, ...]:
    """Hand the tiling on to the blocks beside the angles: both follow from the shape of the latents BCTHW."""
    (latents,) = arguments
    frames, height, width = (size // patch for size, patch in zip(latents.shape[2:], rope.patch_size, strict=True))
    return (*angles, tiling_of((frames, height, width), latents.device))


def _rotated(tokens: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of features BSHD by the angle of its token's place (Su et al., 2021, arXiv:2104.09864)."""
    first, second = torch.unflatten(tokens, -1, (-1, 2)).unbind(-1)
    cos, sin = cosines[..., 0::2], sines[..., 1::2]
    turned = torch.empty_like(tokens)
    turned[..., 0::2] = first * cos - second * sin
    turned[..., 1::2] = first * sin + second * cos
    return turned
