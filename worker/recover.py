"""The worker's pulse: say that it lives, take up what a dead worker left, ring for jobs whose message was lost."""

import logging
import multiprocessing
import os
import platform
import signal
import threading
import time
from multiprocessing.synchronize import Event
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from fastvideo_engine.errors import StorageError
from worker import devices
from worker.queue import ring
from worker.store import jobs, workers
from worker.store.database import now
from worker.store.tables import Job, JobStatus

SECONDS_BETWEEN_BEATS = 3
SECONDS_UNTIL_STALE = 30
"""A running job whose heartbeat is older was left by a worker that died, or whose machine did."""
SECONDS_TO_SHUT_DOWN = 9
"""More than an engine gets to save, less than the supervisor waits."""
_SECONDS_BETWEEN_RINGS = 20

_log = logging.getLogger(__name__)

leaving: Event = multiprocessing.get_context("fork").Event()
"""Set when the worker shuts down; made before the pool forks, so that every process of it sees the same."""


@worker_ready.connect
def _begin(**_: Any) -> None:
    threading.Thread(target=_beat_until_leaving, name="pulse", daemon=True).start()


@worker_shutting_down.connect
def _leave(**_: Any) -> None:
    leaving.set()
    threading.Thread(target=_end_at_last, name="end", daemon=True).start()


def _end_at_last() -> None:
    # Celery looks at its shutdown only between attempts to reach a Redis that is gone, up to half a minute apart.
    time.sleep(SECONDS_TO_SHUT_DOWN)
    os.kill(os.getpid(), signal.SIGKILL)


def _beat_until_leaving() -> None:
    rung_at: dict[int, float] = {}
    while not leaving.is_set():
        try:
            workers.beat(platform.node(), os.getpid(), devices.of_this_host())
            requeue_orphans(platform.node())
            _ring_for_waiting(rung_at)
        except StorageError as error:  # a database that is locked or gone for a while: the next beat tries again
            _log.warning("%s", error)
        leaving.wait(SECONDS_BETWEEN_BEATS)
    workers.leave(platform.node())


def requeue_orphans(host: str) -> list[Job]:
    """Queue again what runs in no process any more, at most three times in all."""
    orphans = [job for job in jobs.with_status(JobStatus.RUNNING) if _is_orphan(job, host)]
    for job in orphans:
        assert job.id is not None
        if job.attempts < jobs.MOST_ATTEMPTS:
            attempt = f"attempt {job.attempts + 1} of {jobs.MOST_ATTEMPTS}"
            jobs.requeue(job.id, f"The worker died; the job goes on from what is complete ({attempt}).")
        else:
            told = f"The worker died during each of {job.attempts} attempts; look at the log, then press Resume."
            jobs.finish(job.id, JobStatus.FAILED, told)
    return orphans


def _is_orphan(job: Job, host: str) -> bool:
    silent_seconds = now() - (job.heartbeat_at or 0)
    dead = job.worker == host and silent_seconds > SECONDS_BETWEEN_BEATS and not _is_alive(job.worker_pid)
    return dead or silent_seconds > SECONDS_UNTIL_STALE


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _ring_for_waiting(rung_at: dict[int, float]) -> None:
    in_use = jobs.devices_in_use(platform.node())
    for job in jobs.ready():
        assert job.id is not None
        rung_lately = time.monotonic() - rung_at.get(job.id, -_SECONDS_BETWEEN_RINGS) < _SECONDS_BETWEEN_RINGS
        is_new = now() - job.created_at < SECONDS_BETWEEN_BEATS
        if rung_lately or is_new or jobs.lease(job, devices.of_this_host(), in_use) is None:
            continue
        rung_at[job.id] = time.monotonic()
        ring(job)
