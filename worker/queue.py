"""The Celery app, and the one way to ask for a job: the row is the truth, the message only a doorbell."""

import json
import os
from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError

from fastvideo_engine.run_folder import write_whole
from fastvideo_engine.specs import JobSpec
from worker import devices, settings
from worker.store import jobs
from worker.store.tables import Clip, Job

RUN_JOB = "run_job"
_CONNECT_SECONDS = 1.5

app = Celery("fastvideo-studio", broker=settings.redis_url(), include=["worker.tasks", "worker.recover"])
app.conf.update(
    task_ignore_result=True,
    task_default_queue="fastvideo-studio",
    worker_prefetch_multiplier=1,
    # One lane more than there are devices, so that an import never waits behind a training.
    worker_concurrency=len(devices.of_this_host()) + 1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": 30,
        # Else a page waits six seconds for a Redis that is gone, at each job that it asks for.
        "max_retries": 1,
        "interval_start": 0.1,
    },
)


def enqueue(
    spec: JobSpec,
    title: str,
    dataset_id: int | None = None,
    parent_id: int | None = None,
    clips: Sequence[Clip] = (),
) -> Job:
    """Ask for a job; it is kept even while Redis is down, and starts when its parent, if it has one, is finished.

    The clips, as they are now, become the manifest in the run folder.
    """

    def prepare(job: Job) -> None:
        job.folder.path.mkdir(parents=True, exist_ok=True)
        if clips:
            write_whole(job.folder.manifest, "".join(_manifest_line(job, clip) for clip in clips))

    job = jobs.create(spec, title, dataset_id, parent_id, prepare)
    ring(job)
    return job


def resume(job_id: int, spec: JobSpec | None = None) -> bool:
    """Queue a job that is over once more, perhaps with a changed spec; False when it is not over."""
    resumed = jobs.resume(job_id, spec)
    for job in resumed:
        ring(job)
    return bool(resumed)


def ring(job: Job) -> bool:
    """Tell the workers that a job waits; False when Redis does not answer (they look by themselves later)."""
    try:
        with app.connection_for_write(settings.redis_url()) as connection:
            app.send_task(RUN_JOB, args=[job.id], connection=connection, retry=False)
    except OperationalError:
        return False
    return True


def redis_answers() -> bool:
    """Tell whether Redis can be reached, within two seconds."""
    try:
        with app.connection_for_write(settings.redis_url()) as connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS, interval_start=0.1)
            connection.default_channel.client.ping()
    except Exception:
        return False
    return True


def _manifest_line(job: Job, clip: Clip) -> str:
    row = {"name": clip.name, "path": os.path.relpath(clip.file, job.folder.path), "caption": clip.caption}
    return json.dumps(row, ensure_ascii=False) + "\n"
