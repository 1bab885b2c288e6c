"""The life of a job: asked for, waiting, claimed, advanced, ended, stopped, resumed."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select, update

from fastvideo_engine.events import (
    ArtifactMade,
    ClipImported,
    ClipRejected,
    Event,
    Failed,
    Finished,
    Note,
    Phase,
    Progress,
    Stopped,
)
from fastvideo_engine.specs import JobSpec, spec_from
from worker.store.database import now, reading, writing
from worker.store.tables import Artifact, Job, JobStatus, RejectedClip

MOST_ATTEMPTS = 3


def create(
    spec: JobSpec,
    title: str,
    dataset_id: int | None = None,
    parent_id: int | None = None,
    prepare: Callable[[Job], None] = lambda job: job.folder.path.mkdir(parents=True, exist_ok=True),
) -> Job:
    """Write the row of a new job; `prepare` fills its run folder before any worker can see the row.

    It waits for its parent; should that have failed or been stopped by now, it has failed too.
    """
    with writing() as session:
        job = Job(
            kind=spec.kind,
            title=title,
            spec=spec.model_dump(mode="json"),
            dataset_id=dataset_id,
            parent_id=parent_id,
            created_at=now(),
        )
        session.add(job)
        session.flush()
        prepare(job)
        _fail_what_waits_in_vain(session)
        return job


def get(job_id: int) -> Job | None:
    with reading() as session:
        return session.get(Job, job_id)


def newest(kinds: Sequence[str] = (), dataset_id: int | None = None, limit: int = 50) -> list[Job]:
    """List jobs, the newest first, of all kinds or of some, of all datasets or of one."""
    query = select(Job).order_by(col(Job.id).desc()).limit(limit)
    if kinds:
        query = query.where(col(Job.kind).in_(kinds))
    if dataset_id is not None:
        query = query.where(Job.dataset_id == dataset_id)
    with reading() as session:
        return list(session.exec(query))


def with_status(status: JobStatus) -> list[Job]:
    """List the jobs in a state, the oldest first."""
    with reading() as session:
        return list(session.exec(select(Job).where(Job.status == status).order_by(col(Job.id))))


def ready() -> list[Job]:
    """List the queued jobs that wait for no other, the oldest first."""
    parent = aliased(Job)
    query = (
        select(Job)
        .outerjoin(parent, col(parent.id) == col(Job.parent_id))
        .where(Job.status == JobStatus.QUEUED)
        .where(col(Job.parent_id).is_(None) | (col(parent.status) == JobStatus.FINISHED))
        .order_by(col(Job.id))
    )
    with reading() as session:
        return list(session.exec(query))


def awaited_by(job: Job) -> Job | None:
    """Name the job that a queued one waits for; None when it only waits for a worker."""
    with reading() as session:
        return _awaited_by(session, job)


def _awaited_by(session: Session, job: Job) -> Job | None:
    if job.parent_id is None or job.status != JobStatus.QUEUED:
        return None
    parent = session.get_one(Job, job.parent_id)
    return None if parent.status == JobStatus.FINISHED else parent


def claim(job_id: int, worker: str, pid: int, devices: Sequence[str]) -> Job | None:
    """Take a queued job and as many of the host's devices as it needs.

    None when someone else has the job already, when it waits for another job, or when too few devices are free.
    """
    with writing() as session:
        job = session.get(Job, job_id)
        if job is None or job.status != JobStatus.QUEUED or _awaited_by(session, job):
            return None
        leased = lease(job, devices, _devices_in_use(session, worker))
        if leased is None:
            return None
        job.status, job.attempts = JobStatus.RUNNING, job.attempts + 1
        job.worker, job.worker_pid, job.devices = worker, pid, leased
        job.started_at = job.started_at or now()
        job.finished_at, job.heartbeat_at, job.phase = None, now(), "Starting"
        return job


def lease(job: Job, devices: Sequence[str], in_use: set[str]) -> list[str] | None:
    """Choose free devices for a job, or None when it must wait; imports need none."""
    if job.kind == "import":
        return []
    free = [device for device in devices if device not in in_use]
    needed = min(job.spec["processes"], len(devices))
    return free[:needed] if len(free) >= needed else None


def devices_in_use(worker: str) -> set[str]:
    """Name the devices of a host that running jobs hold."""
    with reading() as session:
        return _devices_in_use(session, worker)


def _devices_in_use(session: Session, worker: str) -> set[str]:
    running = session.exec(select(Job.devices).where(Job.status == JobStatus.RUNNING, Job.worker == worker))
    return {device for devices in running for device in devices}


def beat(job_id: int) -> bool:
    """Say that the job is alive; return whether someone wants it to stop."""
    with writing() as session:
        session.exec(update(Job).where(col(Job.id) == job_id).values(heartbeat_at=now()))
        return bool(session.exec(select(Job.stop_requested).where(Job.id == job_id)).one())


def fold(job_id: int, events: Sequence[Event], events_read: int) -> None:
    """Put what the engine reported into the row and its artifacts, together with how far was read."""
    with writing() as session:
        job = session.get_one(Job, job_id)
        for event in events:
            _fold_one(session, job, event)
        job.events_read = events_read


def _fold_one(session: Session, job: Job, event: Event) -> None:
    match event:
        case Phase(title=title):
            job.phase = title
        case Progress():
            job.done, job.total, job.seconds_left = event.done, event.total, event.seconds_left
            job.metrics = {**job.metrics, **event.metrics}
        case Note(text=text) | Stopped(text=text) | Finished(text=text) | Failed(text=text):
            job.message = text
        case ArtifactMade():
            _keep(session, Artifact, job_id=job.id, path=event.path)(
                kind=event.kind, step=event.step, facts=event.facts, created_at=event.at.timestamp()
            )
        case ClipRejected():
            _keep(session, RejectedClip, job_id=job.id, clip=event.clip)(reason=event.reason)
        case ClipImported() if job.dataset_id is None:  # a preview; else watch took the clip into the dataset
            _keep(session, Artifact, job_id=job.id, path=event.path)(
                kind="clip", facts={"name": event.name, "caption": event.caption}, created_at=event.at.timestamp()
            )


def _keep(session: Session, table: type[Any], **key: Any) -> Callable[..., None]:
    """Set columns of the row with this key, made when there is none: events may come twice after a crash."""
    row = session.exec(select(table).filter_by(**key)).one_or_none() or table(**key)

    def with_values(**values: Any) -> None:
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)

    return with_values


def finish(job_id: int, status: JobStatus, message: str) -> None:
    """End a running job for good (or until someone resumes it)."""
    _end_running(job_id, status=status, message=message, finished_at=now(), seconds_left=None, phase="")


def requeue(job_id: int, message: str, counts: bool = True) -> None:
    """Put a running job back into the queue; it will go on from what is complete. Some interruptions do not count."""
    attempts = {} if counts else {"attempts": Job.attempts - 1}
    _end_running(job_id, status=JobStatus.QUEUED, message=message, phase="", seconds_left=None, **attempts)


def _end_running(job_id: int, **values: Any) -> None:
    with writing() as session:
        running = update(Job).where(col(Job.id) == job_id, col(Job.status) == JobStatus.RUNNING)
        session.exec(running.values(devices=[], **values))
        _fail_what_waits_in_vain(session)


def request_stop(job_id: int) -> None:
    """Ask a running job to stop; one that still waits is stopped at once."""
    with writing() as session:
        session.exec(update(Job).where(col(Job.id) == job_id).values(stop_requested=True))
        waiting = update(Job).where(col(Job.id) == job_id, col(Job.status) == JobStatus.QUEUED)
        session.exec(waiting.values(status=JobStatus.STOPPED, message="Stopped before it began.", finished_at=now()))
        _fail_what_waits_in_vain(session)


def _fail_what_waits_in_vain(session: Session) -> None:
    """Fail the queued jobs whose parent failed or was stopped, and then those that wait for them."""
    parent = aliased(Job)
    in_vain = (
        select(Job, parent)
        .join(parent, col(parent.id) == col(Job.parent_id))
        .where(Job.status == JobStatus.QUEUED, col(parent.status).in_((JobStatus.STOPPED, JobStatus.FAILED)))
    )
    while found := session.exec(in_vain).all():
        for job, ended in found:
            how = "was stopped" if ended.status == JobStatus.STOPPED else "failed"
            job.status, job.finished_at = JobStatus.FAILED, now()
            job.message = f"Job #{ended.id}, whose result this one needs, {how}; press Resume to go on with both."
        session.flush()


def resume(job_id: int, spec: JobSpec | None = None) -> list[Job]:
    """Queue a job that is over once more, to go on from what is complete, and with it the job whose result it needs.

    Returns the jobs that are queued again, the first to run first; none when the job is not over.
    """
    with writing() as session:
        resumed: list[Job] = []
        job = session.get(Job, job_id)
        while job is not None and job.status in (JobStatus.STOPPED, JobStatus.FAILED):
            job.status, job.stop_requested, job.attempts = JobStatus.QUEUED, False, 0
            job.message, job.finished_at = "", None
            resumed.insert(0, job)
            job = session.get(Job, job.parent_id) if job.parent_id else None
        if resumed and spec is not None:
            resumed[-1].spec = spec.model_dump(mode="json")
        return resumed


def spec_of(job: Job) -> JobSpec:
    """Read the row's JSON as the spec it is."""
    return spec_from(job.spec)
