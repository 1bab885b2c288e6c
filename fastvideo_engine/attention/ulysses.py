"""Several processes share a clip's tokens, and in self-attention its heads (Jacobs et al., 2023, arXiv:2309.14509)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed._functional_collectives import all_gather_tensor_autograd, all_to_all_single_autograd


@dataclass
class Sharing:
    """This process among those that share each clip; every call below is made by all of them in the same order."""

    group: dist.ProcessGroup
    length: int = 0
    """Tokens of the clips in hand. Their count need not divide: the last part is filled up, and attended to by none."""

    def part_of(self, tokens: Tensor) -> Tensor:
        """Return this process's part of tokens BS..."""
        size = self._part_length()
        part = tokens[:, self.group.rank() * size : (self.group.rank() + 1) * size]
        return _filled_up(part, size)

    def whole_of(self, part: Tensor) -> Tensor:
        """Put the parts of tokens BS... together, in every process."""
        whole = all_gather_tensor_autograd(part.contiguous(), gather_dim=1, group=self.group)
        return torch.narrow(whole, 1, 0, self.length)

    def over_heads(self, attend: Callable[..., Tensor], *parts: Tensor) -> Tensor:
        """Attend with this process's heads of all tokens, given and returned as its part of the tokens BSHD."""
        answer = attend(*(self._own_heads(part) for part in parts))
        return self._own_tokens(answer)

    def _own_heads(self, part: Tensor) -> Tensor:
        processes = self.group.size()
        by_heads = torch.stack(part.chunk(processes, dim=2))  # one of each process: PBSHD
        by_tokens = self._exchanged(by_heads)
        return torch.cat(by_tokens.unbind(0), dim=1)[:, : self.length]

    def _own_tokens(self, answer: Tensor) -> Tensor:
        size = self._part_length()
        filled = _filled_up(answer, size * self.group.size())
        by_tokens = torch.stack(torch.split(filled, size, dim=1))
        return torch.cat(self._exchanged(by_tokens).unbind(0), dim=2)

    def _exchanged(self, parts: Tensor) -> Tensor:
        # The collective cuts along the first dimension into equal parts, and works on flat memory.
        exchanged = all_to_all_single_autograd(parts.contiguous(), None, None, self.group)
        return exchanged.view(parts.shape)

    def _part_length(self) -> int:
        return -(-self.length // self.group.size())


def _filled_up(tokens: Tensor, length: int) -> Tensor:
    missing = length - tokens.shape[1]
    if not missing:
        return tokens
    return torch.cat([tokens, tokens.new_zeros(tokens.shape[0], missing, *tokens.shape[2:])], dim=1)
