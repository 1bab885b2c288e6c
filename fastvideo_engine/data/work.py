"""What every phase of preprocessing needs: what was asked, where it goes, who shares it, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from fastvideo_engine.clip_rules import Cut, UnusableError
from fastvideo_engine.data.changes import input_of, stamp_of
from fastvideo_engine.data.ledger import LedgerRow, read_ledger, settled_videos
from fastvideo_engine.data.results import Results
from fastvideo_engine.data.sources import Clip
from fastvideo_engine.data.videos import Video
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import ClipError
from fastvideo_engine.events import EventSink, Progress
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.preprocess import PreprocessSpec

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Work:
    """What every phase needs: what was asked, where it goes, and who shares it."""

    spec: PreprocessSpec
    clips: Sequence[Clip]
    folder: RunFolder
    ranks: Ranks
    events: EventSink
    results: Results
    settings: str
    """Hash of those that decide what is in a row."""

    def seen_by_all(self, look: Callable[[], Answer]) -> Answer:
        """Look at the run folder while no process changes it, so that all see the same."""
        self.ranks.barrier()
        answer = look()
        self.ranks.barrier()
        return answer

    def ledger(self) -> dict[str, LedgerRow]:
        return self.seen_by_all(lambda: read_ledger(self.folder))

    def left(self, ledger: dict[str, LedgerRow]) -> list[Clip]:
        settled = settled_videos(ledger.values())
        return [clip for clip in self.clips if clip.id not in settled]

    def my_share(self, everything: Sequence[Answer]) -> Sequence[Answer]:
        return everything[self.ranks.rank :: self.ranks.world_size]

    def stopping(self) -> bool:
        """Tell whether to stop, the same in all processes; a process that saw the wish before may be waiting here."""
        self.ranks.barrier()
        return self.ranks.agree(self.folder.stop_was_asked())

    def progress(self, done: int, seconds_left: float | None = None) -> None:
        self.events.write(Progress(done=done, total=len(self.clips), seconds_left=seconds_left))

    def row(
        self,
        clip: Clip,
        tried: Mapping[str, int],
        state: Literal["written", "rejected"],
        video: Video | None = None,
        cut: Cut | None = None,
    ) -> LedgerRow:
        """Make a listed video's row of the ledger, or the row of one clip of it; `tried` counts earlier attempts."""
        content = video.content if video else ""
        return LedgerRow(
            clip=cut.id if cut else clip.id,
            state=state,
            video=clip.id if cut and cut.id != clip.id else None,
            parts=len(video.cuts) if video and cut else 1,
            attempts=tried.get(clip.id, 0) + 1,
            stamp=video.stamp if video else stamp_of(clip),
            content=content,
            input=input_of(content, clip),
            settings=self.settings,
        )

    def refuse(
        self,
        tried: Mapping[str, int],
        clip: Clip,
        error: ClipError,
        cut: Cut | None = None,
        video: Video | None = None,
    ) -> None:
        """Leave out a video, or one clip of it, and say why."""
        row = self.row(clip, tried, "rejected", video, cut)
        field = error.field if isinstance(error, UnusableError) else None
        self.results.reject(row.model_copy(update={"reason": str(error), "field": field}))
