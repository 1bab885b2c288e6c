"""Compile the blocks of a transformer, which are all alike, rather than the whole: in minutes for each shape."""

import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.wan import way_of

_SHAPES = 64
"""For which blocks are compiled: the sizes of a run's clips and samples, with gradients and without."""


def compile_blocks(transformer: WanTransformer3DModel) -> None:
    """Compile each block for each shape that it meets, with what is registered on it so far."""
    torch._dynamo.config.recompile_limit = max(_SHAPES, torch._dynamo.config.recompile_limit)
    for block in transformer.blocks:
        if way_of(block) is not None:
            # Its kernels are compiled on their own; here each rise of the sparsity would compile the block again.
            block.attn1.forward = torch.compiler.disable(block.attn1.forward)  # type: ignore[no-untyped-call]
        block.compile(dynamic=False)
