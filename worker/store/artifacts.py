"""The files of runs that pages show, by id."""

from sqlmodel import col, select

from worker.store.database import reading
from worker.store.tables import Artifact, RejectedClip


def get(artifact_id: int) -> Artifact | None:
    with reading() as session:
        return session.get(Artifact, artifact_id)


def of_job(job_id: int, kind: str) -> list[Artifact]:
    """List a job's files of one kind that are still there, by step and name."""
    query = select(Artifact).where(Artifact.job_id == job_id, Artifact.kind == kind)
    with reading() as session:
        found = list(session.exec(query.order_by(col(Artifact.step), col(Artifact.path))))
    return [artifact for artifact in found if artifact.file.exists()]


def of_kind(kind: str, limit: int = 200) -> list[Artifact]:
    """List all files of one kind that are still there, the newest first."""
    query = select(Artifact).where(Artifact.kind == kind).order_by(col(Artifact.id).desc()).limit(limit)
    with reading() as session:
        return [artifact for artifact in session.exec(query) if artifact.file.exists()]


def rejected_by(job_id: int) -> list[RejectedClip]:
    with reading() as session:
        of_this_job = select(RejectedClip).where(RejectedClip.job_id == job_id)
        return list(session.exec(of_this_job.order_by(col(RejectedClip.clip))))
