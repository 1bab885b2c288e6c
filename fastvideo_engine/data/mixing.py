"""Which clips make which batch: a function of its number, so that a resumed run goes on with the same ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fastvideo_engine.seeds import generator_of


@dataclass(frozen=True)
class Mixture:
    """Clips by number, in groups that do not share a batch; one that is there twice comes twice as often."""

    groups: tuple[Sequence[int], ...]
    seed: int

    def batch(self, number: int, size: int) -> list[int]:
        """Name the clips of a batch.

        Each group has its own epochs, in which each of its clips comes once in a new order; a batch may reach into the
        next one. Groups take turns at random, and in proportion to their clips.
        """
        group, turn = self._turn(number)
        clips = self.groups[group]
        visits = range(turn * size, (turn + 1) * size)
        return [clips[self._place(group, *divmod(visit, len(clips)))] for visit in visits]

    def _turn(self, number: int) -> tuple[int, int]:
        """Return whose turn a batch is, and how many turns that group had before."""
        counts = tuple(map(len, self.groups))
        turns = tuple(count // math.gcd(*counts) for count in counts)
        cycle, place = divmod(number, sum(turns))
        order, starts = _turns_of(turns, self.seed, cycle)
        drawn = int(order[place])
        group = int(torch.searchsorted(starts, drawn, right=True)) - 1
        return group, cycle * turns[group] + drawn - int(starts[group])

    def _place(self, group: int, epoch: int, place: int) -> int:
        return int(_order_of(len(self.groups[group]), self.seed, group, epoch)[place])


@lru_cache(maxsize=4)  # a resumed run begins anywhere; a read-ahead may reach into the next cycle
def _turns_of(turns: tuple[int, ...], seed: int, cycle: int) -> tuple[Tensor, Tensor]:
    """Return the turns of a cycle in order, numbered through all groups, and where each group's numbers start."""
    # Each turn falls into its own part of the cycle, so that no group waits long: its share holds in every stretch.
    drawn = [
        torch.rand(count, generator=generator_of("turns", seed, cycle, group), dtype=torch.float64)
        for group, count in enumerate(turns)
    ]
    times = [(torch.arange(len(each)) + each) / len(each) for each in drawn]
    starts = torch.tensor([0, *turns[:-1]]).cumsum(0)
    return torch.cat(times).argsort(stable=True), starts


@lru_cache(maxsize=64)  # of each size that a dataset may have, the epoch at hand and the next
def _order_of(count: int, seed: int, group: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=generator_of("order", seed, group, epoch))
