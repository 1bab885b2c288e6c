"""What the queue delivers: run one job, from claim to conclusion."""

import logging
import os
import platform
import signal
import threading
from typing import Any

from celery.signals import worker_process_init

from fastvideo_engine.errors import StorageError
from worker import devices, launch, watch
from worker.queue import RUN_JOB, app, ring
from worker.recover import leaving
from worker.store import jobs
from worker.store.tables import Job, JobStatus

SECONDS_BETWEEN_TRIES = 2
"""How often it is tried to write down a job's end on a disk that is full."""
_log = logging.getLogger(__name__)


@app.task(name=RUN_JOB)
def run_job(job_id: int) -> None:
    """Run a job if it still waits and this host has room for it; a message that comes twice does nothing."""
    job = jobs.claim(job_id, platform.node(), os.getpid(), devices.of_this_host())
    if job is None:
        return
    try:
        _run(job)
    except Exception as error:  # the border: a row must never stay "running" behind an error of ours
        _log.exception("job %s", job_id)
        jobs.finish(
            job_id, JobStatus.FAILED, f"The worker could not run the job ({error}); its console has the details."
        )
    _ring_waiting()


def _run(job: Job) -> None:
    launch.prepare(job)
    events_before = job.folder.events.stat().st_size if job.folder.events.exists() else 0
    exit_code = watch.see_through(job, launch.start(job, launch.command(job)), leaving)
    while True:
        try:
            return watch.conclude(job, events_before, exit_code, leaving.is_set())
        except (StorageError, OSError):
            if leaving.wait(SECONDS_BETWEEN_TRIES):
                raise


def _ring_waiting() -> None:
    for job in jobs.ready()[: len(devices.of_this_host())]:
        ring(job)


@worker_process_init.connect
def _leave_when_told(**_: Any) -> None:
    # Ctrl-C and SIGTERM may reach this process as well as its parent; either way the job is put down with care.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _set_leaving)


def _set_leaving(_number: int, _frame: Any) -> None:
    threading.Thread(target=leaving.set).start()  # setting takes a lock that the interrupted code may hold
