"""Jobs in words and tables."""

from collections.abc import Sequence
from html import escape

from app import navigation, words
from worker.store.tables import Job, JobStatus

UNITS = {"import": "clip", "preprocess": "clip", "train": "step", "generate": "video"}
DOING = {"import": "Importing", "preprocess": "Preprocessing", "train": "Training", "generate": "Sampling"}
KINDS = {"import": "Import", "preprocess": "Preprocess", "train": "Train", "generate": "Sample"}


def state(job: Job) -> str:
    """Say a job's state in one word."""
    return "stopping" if job.status == JobStatus.RUNNING and job.stop_requested else job.status.value


def headline(job: Job, awaited: Job | None = None) -> str:
    """Say in one line what a job is about to do, does, or did; `awaited` is the job that it waits for."""
    match job.status:
        case JobStatus.QUEUED if awaited:
            return f"First #{awaited.id}: {headline(awaited)}"
        case JobStatus.QUEUED:
            return "Waiting for a worker"
        case JobStatus.RUNNING if job.done:
            return f"{DOING[job.kind]}, {UNITS[job.kind]} {job.done:,} of {job.total:,}"
        case JobStatus.RUNNING:
            return job.phase or DOING[job.kind]
        case JobStatus.STOPPED:
            return job.message or "Stopped"
        case JobStatus.FAILED:
            return f"Failed at {UNITS[job.kind]} {job.done:,}" if job.done else "Failed"
        case JobStatus.FINISHED:
            return job.message


def table(jobs: Sequence[Job], title: str, empty: str = "Nothing has been started yet.") -> str:
    """Write jobs as a table, each row a link to its page."""
    if not jobs:
        told = f'<div class="fvs-empty"><p>{escape(empty)}</p></div>'
        return f'<section class="fvs-card"><h2>{escape(title)}</h2>{told}</section>'
    rows = "".join(_row(job) for job in jobs)
    return (
        f'<section class="fvs-card"><h2>{escape(title)}</h2><div class="scroll"><table class="fvs-table"><thead><tr>'
        '<th>Job</th><th class="fvs-roomy">What</th><th>State</th><th class="fvs-roomy">Progress</th><th>Asked for</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def pill(job: Job) -> str:
    return f'<span class="fvs-pill" data-state="{state(job)}">{state(job)}</span>'


def _row(job: Job) -> str:
    progress = f"{job.done:,} of {job.total:,}" if job.total else ""
    link = f'<a href="{navigation.run(job.id)}">#{job.id} {escape(job.title)}</a>'
    return (
        f'<tr><td>{link}</td><td class="fvs-roomy">{KINDS[job.kind]}</td>'
        f"<td>{pill(job)}</td><td class='fvs-roomy'>{progress}</td><td>{words.ago(job.created_at)}</td></tr>"
    )
