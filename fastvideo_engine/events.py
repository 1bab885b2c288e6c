"""The facts that the engine reports while it works: one JSON object a line, appended to `events.jsonl`."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


def _now() -> datetime:
    return datetime.now(UTC)


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    at: datetime = Field(default_factory=_now)


class Phase(_Event):
    """The engine began another part of its work; the title is shown as it is ("Loading the model")."""

    event: Literal["phase"] = "phase"
    title: str


class Progress(_Event):
    """So many of the units (clips, steps, videos) are done; metrics are numbers of this very step."""

    event: Literal["progress"] = "progress"
    done: int
    total: int
    seconds_left: float | None = None
    metrics: dict[str, float] = {}


class ClipRejected(_Event):
    """A clip cannot be used; the job goes on without it."""

    event: Literal["clip_rejected"] = "clip_rejected"
    clip: str
    reason: str


class ClipImported(_Event):
    """A clip from elsewhere now lies in the run folder."""

    event: Literal["clip_imported"] = "clip_imported"
    name: str
    path: str
    caption: str


ArtifactKind = Literal["adapter", "transformer", "sample", "parquet"]


class ArtifactMade(_Event):
    """A file (or folder) worth showing is complete; its path is relative to the run folder."""

    event: Literal["artifact"] = "artifact"
    kind: ArtifactKind
    path: str
    step: int | None = None
    facts: dict[str, Any] = {}


class Note(_Event):
    """Something a user should read, though the job goes on ("Continued from step 40")."""

    event: Literal["note"] = "note"
    text: str


class Stopped(_Event):
    """The job ended early because it was asked to; what was done is kept."""

    event: Literal["stopped"] = "stopped"
    text: str


class Finished(_Event):
    """The job is done; the text sums it up in a sentence."""

    event: Literal["finished"] = "finished"
    text: str


class Failed(_Event):
    """The job cannot go on; the text says why and what to do."""

    event: Literal["failed"] = "failed"
    text: str


Event = Annotated[
    Phase | Progress | ClipRejected | ClipImported | ArtifactMade | Note | Stopped | Finished | Failed,
    Field(discriminator="event"),
]
_ANY_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventWriter:
    """Append events to a file, each with one write, so that a reader never sees half of one for long."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._mend_torn_line()

    def write(self, event: Event) -> None:
        """Append one event; it is with the operating system when this returns."""
        os.write(self._file, event.model_dump_json().encode() + b"\n")

    def _mend_torn_line(self) -> None:
        # A killed engine may leave half a line; ended here, it costs itself only and not the next event.
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")


class SilentWriter:
    """Takes events and drops them: what every process but the first writes to, so that none is said twice."""

    def write(self, event: Event) -> None:
        """Drop the event."""


class EventSink(Protocol):
    """Takes events: a reporter, or what drops them."""

    def write(self, event: Event) -> None: ...


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the complete lines from a byte offset on; return their events and the offset to go on from.

    A line that is not an event (torn by a crash) is passed over. A missing file holds no events.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read()
    except FileNotFoundError:
        return [], offset
    end = text.rfind(b"\n") + 1
    return list(_parse(text[:end])), offset + end


def _parse(lines: bytes) -> Iterator[Event]:
    for line in lines.splitlines():
        try:
            yield _ANY_EVENT.validate_json(line)
        except ValidationError:
            continue
