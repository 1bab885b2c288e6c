"""Clips that were read before, kept in memory as far as there is room."""

from collections import OrderedDict

from torch import Tensor

from fastvideo_engine.data.loader import EncodedClip, ParquetClips

_ROOM = 2**30  # bytes in each process: a whole small dataset, or some dozens of clips at 480p


class RecentClips:
    """Read clips as Parquet has them; those used last are not read again."""

    def __init__(self, clips: ParquetClips, room: int = _ROOM) -> None:
        self._clips = clips
        self._kept: OrderedDict[int, EncodedClip] = OrderedDict()
        self._room = room

    def __len__(self) -> int:
        return len(self._clips)

    def read(self, number: int) -> EncodedClip:
        """Return a clip as it was stored."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        clip = self._clips.read(number)
        self._kept[number] = clip
        self._room -= _size(clip)
        while self._room < 0 and self._kept:
            _, forgotten = self._kept.popitem(last=False)
            self._room += _size(forgotten)
        return clip


def _size(clip: EncodedClip) -> int:
    return sum(part.nbytes for part in clip if isinstance(part, Tensor))
