"""Let several processes compute one clip: each its part of the tokens through the blocks of a transformer."""

from typing import Any

import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch import Tensor

from fastvideo_engine.attention.ulysses import Sharing
from fastvideo_engine.attention.wan import share_attention
from fastvideo_engine.distributed import Ranks


def share_tokens(transformer: WanTransformer3DModel, ranks: Ranks) -> None:
    """Divide tokens among the processes that share each clip; what goes in and comes out stays whole.

    Each process's gradients are those of its tokens, times how many share them: their mean over all processes is that
    of the whole, as it is for processes that each read clips of their own.
    """
    sharing = Sharing(_own_group(ranks))
    share_attention(transformer, sharing)

    def part_of_angles(_rope: Any, _given: Any, angles: tuple[Any, ...]) -> tuple[Any, ...]:
        sharing.length = angles[0].shape[1]
        return (*(sharing.part_of(angle) for angle in angles[:2]), *angles[2:])

    def part_of_timesteps(_block: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, text, timestep, angles = given
        # Wan 2.2 TI2V-5B has one for each token.
        return hidden, text, sharing.part_of(timestep) if timestep.ndim == 4 else timestep, angles

    def part_of_tokens(_block: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return sharing.part_of(given[0]), *given[1:]

    def whole(_block: Any, _given: Any, part: Tensor) -> Tensor:
        return sharing.whole_of(part)

    transformer.rope.register_forward_hook(part_of_angles)
    transformer.blocks[0].register_forward_pre_hook(part_of_tokens)
    for block in transformer.blocks:
        block.register_forward_pre_hook(part_of_timesteps)
    transformer.blocks[-1].register_forward_hook(whole)


def _own_group(ranks: Ranks) -> dist.ProcessGroup:
    own: dist.ProcessGroup | None = None
    for first in range(0, ranks.world_size, ranks.sharing):
        members = list(range(first, first + ranks.sharing))
        group = dist.new_group(members)  # by all processes, members or not
        if ranks.rank in members:
            own = group
    assert own is not None
    return own
