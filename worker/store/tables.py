"""The rows that the studio keeps; times are seconds since 1970, paths relative to `STUDIO_HOME`."""

from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from fastvideo_engine.media import ClipFacts
from fastvideo_engine.run_folder import RunFolder
from worker import settings

_CLIP_FACTS = TypeAdapter(ClipFacts)


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    FINISHED = "finished"


OVER = (JobStatus.STOPPED, JobStatus.FAILED, JobStatus.FINISHED)


class Dataset(SQLModel, table=True):
    """A set of clips."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    created_at: float
    waiting_captions: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Captions that a caption file gave to files which are not here yet."""
    notices: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """What there was to say about the files that came last."""


class Clip(SQLModel, table=True):
    """One training video with a caption."""

    __table_args__ = (UniqueConstraint("dataset_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    dataset_id: int = Field(foreign_key="dataset.id", index=True)
    name: str
    path: str
    caption: str = ""
    duration_seconds: float = 0
    probed: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """The facts of the file as they were when it came; none when it has a problem."""
    problem: str | None = None
    """Why the file cannot be used at all, in a sentence."""
    created_at: float

    @property
    def file(self) -> Path:
        return settings.home() / self.path

    @property
    def facts(self) -> ClipFacts | None:
        """What is known of the file, the very facts that preprocessing judges it by."""
        return _CLIP_FACTS.validate_python(self.probed) if self.probed else None

    @property
    def poster(self) -> Path:
        return self.file.with_name(self.file.name + ".jpg")

    @property
    def proxy(self) -> Path:
        """A copy that browsers can play, for files which they cannot."""
        return self.file.with_name(self.file.name + ".proxy.mp4")


class Job(SQLModel, table=True):
    """A spec that someone asked for, and its fate."""

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    title: str
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    dataset_id: int | None = Field(default=None, foreign_key="dataset.id", index=True)
    parent_id: int | None = Field(default=None, foreign_key="job.id")
    """The job whose result this one reads; it must be finished before this one starts."""

    status: JobStatus = Field(default=JobStatus.QUEUED, index=True)
    stop_requested: bool = False
    attempts: int = 0
    message: str = ""
    """The last word on the job: what it achieved, why it ended, or what happened to it on the way."""
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    events_read: int = 0
    """Bytes of `events.jsonl` that are folded into this row."""

    worker: str = ""
    worker_pid: int = 0
    devices: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    heartbeat_at: float | None = None

    @property
    def folder(self) -> RunFolder:
        return RunFolder(settings.runs() / str(self.id))

    @property
    def is_over(self) -> bool:
        return self.status in OVER


class Artifact(SQLModel, table=True):
    """A file of a run that is worth showing."""

    __table_args__ = (UniqueConstraint("job_id", "path"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id", index=True)
    kind: str
    path: str
    step: int | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: float

    @property
    def file(self) -> Path:
        return settings.runs() / str(self.job_id) / self.path


class RejectedClip(SQLModel, table=True):
    """A clip that a job left out, and why."""

    __table_args__ = (UniqueConstraint("job_id", "clip"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="job.id", index=True)
    clip: str
    reason: str


class Worker(SQLModel, table=True):
    """A worker that is, or was, alive."""

    name: str = Field(primary_key=True)
    pid: int
    devices: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    heartbeat_at: float


ALL = [
    SQLModel.metadata.tables[table.__name__.lower()] for table in (Dataset, Clip, Job, Artifact, RejectedClip, Worker)
]
