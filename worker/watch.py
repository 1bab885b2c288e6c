"""Follow a started process: heartbeat, events into the row, the wish to stop passed on, its end understood."""

import contextlib
import logging
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event as Leaving
from pathlib import Path

from fastvideo_engine.errors import StorageError
from fastvideo_engine.events import ClipImported, Event, Failed, Finished, Stopped, read_events
from worker import launch
from worker.store import intake, jobs
from worker.store.tables import Job, JobStatus

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_LEAVE = 6
"""What an engine gets to save and leave when its worker is shut down."""
_FULL_DISK_BYTES = 4_000_000
_log = logging.getLogger(__name__)


def see_through(job: Job, process: subprocess.Popen[bytes], leaving: Leaving) -> int:
    """Follow a process to its end and return its exit code.

    When the worker must leave, the engine is asked to stop, and killed if that takes it too long.
    """
    assert job.id is not None
    deadline = None
    while process.poll() is None:
        if leaving.is_set():
            deadline = deadline or time.monotonic() + SECONDS_TO_LEAVE
        if deadline and time.monotonic() > deadline:
            launch.kill(process)
        with _another_time():
            if jobs.beat(job.id) or leaving.is_set():
                job.folder.ask_to_stop()
            fold(job)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return process.returncode


@contextlib.contextmanager
def _another_time() -> Iterator[None]:
    # A full disk must not end the watch: the engine would go on with nobody to see it. The next look tries again.
    try:
        yield
    except (StorageError, OSError) as error:
        _log.warning("%s", error)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def fold(job: Job) -> list[Event]:
    """Put the events that are new since the last look into the job's row; clips go into its dataset."""
    assert job.id is not None
    events, job.events_read = read_events(job.folder.events, job.events_read)
    for event in events:
        if isinstance(event, ClipImported) and job.dataset_id is not None:
            _take_in(job, job.dataset_id, event)
    if events:
        jobs.fold(job.id, events, job.events_read)
    return events


def conclude(job: Job, events_before: int, exit_code: int, leaving: bool) -> None:
    """Decide what a process's end means for its job, by its last word or by how it died.

    Its words are those after the first `events_before` bytes of the events: earlier attempts do not count.
    Raises `StorageError` while the row cannot be written.
    """
    assert job.id is not None
    fold(job)
    match _last_word(job, events_before):
        case Finished(text=text):
            jobs.finish(job.id, JobStatus.FINISHED, text)
        case Failed(text=text):
            jobs.finish(job.id, JobStatus.FAILED, text)
        case Stopped(text=text) if not leaving or _was_asked_to_stop(job):
            jobs.finish(job.id, JobStatus.STOPPED, text)
        case _ if leaving:
            jobs.requeue(job.id, "The worker was shut down; the job goes on when it is back.", counts=False)
        case _ if exit_code < 0 and job.attempts < jobs.MOST_ATTEMPTS:
            again = f"It is started again from what is complete (attempt {job.attempts + 1} of {jobs.MOST_ATTEMPTS})."
            jobs.requeue(job.id, f"{_how_it_was_killed(exit_code)} {again}")
        case _ if exit_code < 0:
            cure = "Free memory or ask for less, then press Resume: what is complete is kept."
            jobs.finish(job.id, JobStatus.FAILED, f"{_how_it_was_killed(exit_code)} {cure}")
        case _:
            jobs.finish(job.id, JobStatus.FAILED, _unexplained(job, exit_code))


def _last_word(job: Job, events_before: int) -> Event | None:
    events, _ = read_events(job.folder.events, events_before)
    return next((event for event in reversed(events) if isinstance(event, Finished | Failed | Stopped)), None)


def _take_in(job: Job, dataset_id: int, event: ClipImported) -> None:
    file = job.folder.path / event.path
    if file.exists():  # else it was taken in before a crash
        intake.add_clip_file(dataset_id, file, event.name, event.caption)


def _was_asked_to_stop(job: Job) -> bool:
    asked = jobs.get(job.id or 0)
    return asked is not None and asked.stop_requested


def _how_it_was_killed(exit_code: int) -> str:
    number = -exit_code
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    likely = ", often because memory ran out" if number == signal.SIGKILL else ""
    return f"The engine was killed by signal {number} ({name}){likely}."


def _unexplained(job: Job, exit_code: int) -> str:
    if shutil.disk_usage(job.folder.path).free < _FULL_DISK_BYTES:
        return "The disk is full; make room, then press Resume: what was complete is kept."
    return f"The engine ended without a word (exit code {exit_code}); its last line was: {_last_line(job.folder.log)}"


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"
