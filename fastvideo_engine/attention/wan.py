"""Sparse attention in diffusers' Wan transformer, in place of the self-attention of every block."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from safetensors import safe_open
from torch import Tensor, nn

from fastvideo_engine.attention.fastest import Way
from fastvideo_engine.attention.sparse import sparse_attention
from fastvideo_engine.attention.tiles import tiling_of
from fastvideo_engine.errors import ModelError

_GATE = "to_gate_compress"
"""FastVideo's name of a block's gate, `blocks.N.to_gate_compress`, which is also where it is."""
_PREFIXES = ("diffusion_model.", "transformer.")


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


@dataclass
class SparseAttention:
    """What the blocks of a transformer share: how they attend, and how sparse they are now."""

    way: Way
    sparsity: float = 0.0


def add_sparse_attention(transformer: WanTransformer3DModel, way: Way) -> SparseAttention:
    """Replace the self-attention of all blocks and give each a gate; text is attended to as before.

    The sparsity of what is returned may change from step to step. At first the transformer computes what it did.
    """
    shared = SparseAttention(way)
    for block in transformer.blocks:
        gate = Gate(block.attn1.inner_dim, block.attn1.to_q.weight.device)
        setattr(block, _GATE, gate)
        block.attn1.set_processor(_SparseProcessor(gate, shared))
    transformer.rope.register_forward_hook(_with_tiling)
    return shared


def gates(transformer: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights and biases of the gates by FastVideo's names; none where attention is dense."""
    return {name: weight for name, weight in transformer.named_parameters() if _is_of_gate(name)}


def gates_in(files: Path) -> dict[str, Tensor]:
    """Read the gates from a safetensors file or from a folder of them, by FastVideo's names."""
    found = {}
    for file in sorted(files.glob("*.safetensors")) if files.is_dir() else [files]:
        with safe_open(file, framework="pt") as weights:
            names = weights.keys()
            found.update({_bare(name): weights.get_tensor(name) for name in names if _is_of_gate(name)})
    return found


def load_gates(transformer: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Put gates back into a transformer that has them; raise `ModelError` unless it is all of them and they fit."""
    ours = gates(transformer)
    misfits = [name for name in {**ours, **weights} if _shape(ours.get(name)) != _shape(weights.get(name))]
    if misfits:
        raise ModelError(
            f"The gates of sparse attention in {source} do not fit this model ({len(misfits)} of {len(ours)} weights, "
            f"such as {min(misfits)}); choose the base model that they were trained on."
        )
    with torch.no_grad():
        for name, weight in ours.items():
            weight.copy_(weights[name])


class _SparseProcessor:
    """Self-attention as diffusers' WanAttnProcessor has it, but sparse."""

    _attention_backend: Any = None  # diffusers sets these on every processor
    _parallel_config: Any = None

    def __init__(self, gate: Gate, shared: SparseAttention) -> None:
        self._gate = gate
        self._shared = shared

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        _text: Tensor | None,
        _mask: Tensor | None,
        rotary_emb: tuple[Any, ...],
    ) -> Tensor:
        cosines, sines, tiling = rotary_emb
        query, key = (
            _rotated(norm(project(hidden_states)).unflatten(2, (attn.heads, -1)), cosines, sines)
            for project, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k))
        )
        value, gate = (project(hidden_states).unflatten(2, (attn.heads, -1)) for project in (attn.to_v, self._gate))
        answer = sparse_attention(query, key, value, gate, tiling, self._shared.sparsity, self._shared.way.attend)
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


def _is_of_gate(name: str) -> bool:
    return name.endswith((f".{_GATE}.weight", f".{_GATE}.bias"))


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _shape(weight: Tensor | None) -> torch.Size | None:
    return None if weight is None else weight.shape
